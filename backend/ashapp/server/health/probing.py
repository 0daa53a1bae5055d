# SPDX-License-Identifier: MIT
"""Ask a service for its health from outside: at a URL, or where its settings tell that it listens.

The settings are read as the service reads them, without its flags. The port can be given.
Only the standard library, the sources of settings and the kinds of values are imported here.
"""

import http.client
import os
import socket
import ssl
from collections.abc import Mapping
from string import punctuation
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from ashapp.server.records.kinds import FLAG
from ashapp.server.settings.sources.addresses import TcpAddress, UnixAddress, address_texts, parse_addresses
from ashapp.server.settings.sources.env_files import read_env_files
from ashapp.server.settings.sources.variables import read_settings

__all__ = ["DEFAULTS", "Target", "UnixConnection", "target_of_service", "target_of_url"]

#: The settings that are read, and their defaults.
DEFAULTS: Mapping[str, Any] = {
    "host": "0.0.0.0",  # noqa: S104 - where the service listens
    "port": 5000,
    "uds": None,
    "fd": None,
    "bind": None,
    "probes": True,
    "livez_path": "/livez",
    "readyz_path": "/readyz",
    "ssl_certfile": None,
    "proxy_protocol": False,
}

_PATHS = {"live": "livez_path", "ready": "readyz_path"}
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a service of all interfaces is asked
# A header of the PROXY protocol without addresses, which is accepted from any peer.
_PROXY_HEADER = b"PROXY UNKNOWN\r\n"
_HEADERS = {"User-Agent": "ashapp-check", "Connection": "close"}
# What is shown of an answer, in bytes.
_MAX_SHOWN = 300


class Target(NamedTuple):
    """What is asked: by *connection*, on which the bytes *header* come first; then TLS, if *by_tls*.

    *name* is for those who read of it.
    """

    connection: http.client.HTTPConnection
    name: str
    path: str
    header: bytes = b""
    by_tls: bool = False

    def ask(self) -> tuple[int, str]:
        """Return the status of the answer, and the beginning of its text.

        Raises:
            OSError: nobody answers.
            ValueError: the path can't be asked for.
            HTTPException: what answers does not speak HTTP.

        """
        try:
            self._connect()
            self.connection.request("GET", self.path, headers=_HEADERS)
            response = self.connection.getresponse()
            return response.status, response.read(_MAX_SHOWN).decode(errors="replace")
        finally:
            self.connection.close()

    def _connect(self) -> None:
        self.connection.connect()
        if self.header:
            self.connection.sock.sendall(self.header)
        if self.by_tls:
            # The certificate is for the name by which others know the service.
            tls = ssl._create_unverified_context()  # noqa: S323, SLF001 - as said
            self.connection.sock = tls.wrap_socket(self.connection.sock)


def target_of_url(url: SplitResult, timeout: float) -> Target:
    """Return what is asked at *url*, where each step may take *timeout* seconds."""
    path = quote(f"{url.path or '/'}?{url.query}" if url.query else url.path or "/", safe=punctuation)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    return Target(kind(url.hostname or "", url.port, timeout=timeout), url.geturl(), path)


def target_of_service(probe: str, port: int | None, timeout: float) -> Target:
    """Return what is asked for a *probe*, "live" or "ready", at a *port*, or where the settings tell.

    Raises:
        ValueError: the settings are wrong, or tell that there is no such probe, or not where the service is.

    """
    settings = _settings()
    if port is not None:
        settings.update(port=port, uds=None, fd=None, bind=None)
    if settings["bind"] is not None:
        settings.update(_first_address(settings["bind"]))
    path = settings[_PATHS[probe]]
    if _is_off(settings["probes"]) or path in {"", "off"}:
        raise ValueError(
            f"the service does not answer this probe, as {_PATHS[probe]} or probes is off: switch it on, "
            "or ask a URL by 'ashapp check http'"
        )
    header = b"" if _is_off(settings["proxy_protocol"]) else _PROXY_HEADER
    by_tls = bool(settings["ssl_certfile"])
    if settings["uds"]:
        unix = UnixConnection(settings["uds"], timeout)
        return Target(unix, f"unix:{settings['uds']}{path}", path, header, by_tls)
    if settings["fd"] is not None:
        raise ValueError(
            f"fd = {settings['fd']}: an inherited socket does not tell where it listens; name the port by "
            "--port, or ask a URL by 'ashapp check http'"
        )
    host = _ANY_ADDRESS.get(settings["host"], settings["host"])
    name = (
        f"{'https' if by_tls else 'http'}://{f'[{host}]' if ':' in host else host}:{settings['port']}{path}"
    )
    url = urlsplit(name)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
    return Target(connection, name, path, header, by_tls)


def _settings() -> dict[str, Any]:
    """Read the settings; see ``server.settings.sources.variables`` for the order of their sources."""
    read_env_files(os.environ.get("ASHAPP_ENV_FILE"))
    return {**DEFAULTS, **{name: each.value for name, each in read_settings(DEFAULTS).items()}}


def _is_off(value: Any) -> bool:
    return FLAG.read(str(value)) is False


def _first_address(bind: Any) -> dict[str, Any]:
    """Return the settings for the first of several addresses, in place of all that name one."""
    match parse_addresses(address_texts(bind))[0]:
        case TcpAddress(host, port):
            return {"host": host, "port": port, "uds": None, "fd": None}
        case UnixAddress(path):
            return {"uds": path}
        case inherited:
            return {"fd": inherited.fd, "uds": None}


class UnixConnection(http.client.HTTPConnection):
    """A connection to a UNIX domain socket; each step may take *timeout* seconds."""

    def __init__(self, socket_path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._socket_path = socket_path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)
