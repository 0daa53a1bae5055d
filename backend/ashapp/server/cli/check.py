# SPDX-License-Identifier: MIT
"""``ashapp check``: probe a service from inside its own container, where there is no curl.

It asks at a URL, or at the address of the service's settings. It reads these as the service does, but without
the flags of the service; the port can be given. It runs every few seconds, beside a service that may be busy.
So it imports only what one request needs: neither Flask nor the model of the settings. It exits with 0 or 1,
and with 2 for a wrong argument.
"""

import argparse
import contextlib
import http.client
import os
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from string import punctuation
from typing import Any, NoReturn
from urllib.parse import SplitResult, quote, urlsplit

from ashapp.server.settings.sources.addresses import TcpAddress, UnixAddress, address_texts, parse_addresses
from ashapp.server.settings.sources.env_files import read_env_files
from ashapp.server.settings.sources.variables import read_settings
from ashapp.server.validation.kinds import FLAG, UNITS_TEXT, seconds_of

__all__ = ["DEFAULTS", "ServiceConnection", "main"]

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
# Bytes of an answer that are shown.
_MAX_SHOWN = 300


def main(arguments: Sequence[str]) -> int:
    """Run the command, write a line, and return the exit code: 0 if the answer is good, else 1."""
    options = _parser().parse_args(arguments)
    try:
        connection, name, path = (
            _at_url(options.url, options.timeout)
            if options.kind == "http"
            else _of_service(options.kind, options.port, options.timeout)
        )
    except ValueError as error:
        return _fail(str(error))
    try:
        connection.request("GET", path, headers=_HEADERS)
        response = connection.getresponse()
        status, text = response.status, response.read(_MAX_SHOWN).decode(errors="replace")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return _fail(f"{type(error).__name__}: {error} ({name})")
    finally:
        connection.close()
    line = f"{status} from {name}"
    # As the probes of Kubernetes have it.
    if 200 <= status < 400:
        print(f"ok: {line}")  # noqa: T201 - the command's output
        return 0
    return _fail(f"{line}: {text}")


def _fail(message: str, code: int = 1) -> int:
    print(f"failed: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201 - the command's output
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Tell what is wrong in one line."""
        sys.exit(_fail(f"{message} (ashapp check --help tells how to use it)", 2))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ashapp check",
        description="Probe a service: exit code 0 if it answers with a status from 200 to 399, else 1; "
        "2 for wrong usage.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="{ready,live,http}")
    for kind, text in (("ready", "whether it should get requests"), ("live", "whether it is alive")):
        kind_parser = kinds.add_parser(
            kind,
            help=f"ask the service of this container {text}",
            description=f"Ask {text}, at the address that the variables ASHAPP_* and PORT and the file of "
            "ASHAPP_CONFIG name. A service whose flags name another host is asked by 'check http'.",
        )
        kind_parser.add_argument("-p", "--port", type=_port, help="port of the service, if a flag names it")
    kinds.add_parser("http", help="ask a URL").add_argument("url", type=_url)
    for each in kinds.choices.values():
        each.add_argument(
            "--timeout", type=_seconds, default=3.0, metavar="DURATION", help="longest wait [default: 3s]"
        )
    return parser


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        found = seconds_of(text)
        return float(text) if found is None else found
    raise argparse.ArgumentTypeError(f"{text!r} must be in {UNITS_TEXT}")


def _url(text: str) -> SplitResult:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL that begins with http:// or https://")
    return url


# What is asked: a connection, its name for people, and the path.
_Target = tuple[http.client.HTTPConnection, str, str]


def _at_url(url: SplitResult, timeout: float) -> _Target:
    """Return what is asked at *url*, where each step may take *timeout* seconds."""
    path = quote(f"{url.path or '/'}?{url.query}" if url.query else url.path or "/", safe=punctuation)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    return kind(url.hostname or "", url.port, timeout=timeout), url.geturl(), path


def _of_service(probe: str, port: int | None, timeout: float) -> _Target:
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
        unix = ServiceConnection(settings["uds"], timeout=timeout, header=header, by_tls=by_tls)
        return unix, f"unix:{settings['uds']}{path}", path
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
    address = url.hostname or "", url.port
    return ServiceConnection(address, timeout=timeout, header=header, by_tls=by_tls), name, path


def _settings() -> dict[str, Any]:
    """Read the settings; see ``server.settings.sources.variables`` for the order of their sources."""
    read_env_files(os.environ.get("ASHAPP_ENV_FILE"))
    return {**DEFAULTS, **{name: each.value for name, each in read_settings(DEFAULTS).items()}}


def _is_off(value: Any) -> bool:
    return FLAG.read(str(value)) is False


def _first_address(bind: Any) -> dict[str, Any]:
    """Return the settings of the first address, in place of all settings that name an address."""
    match parse_addresses(address_texts(bind))[0]:
        case TcpAddress(host, port):
            return {"host": host, "port": port, "uds": None, "fd": None}
        case UnixAddress(path):
            return {"uds": path}
        case inherited:
            return {"fd": inherited.fd, "uds": None}


class ServiceConnection(http.client.HTTPConnection):
    """A connection to a service at *address*: a host and a port, or the path of a UNIX domain socket.

    Each step may take *timeout* seconds. The bytes *header* come first, then TLS, if *by_tls*.
    """

    def __init__(
        self,
        address: str | tuple[str, int | None],
        *,
        timeout: float,
        header: bytes = b"",
        by_tls: bool = False,
    ) -> None:
        host, port = ("localhost", None) if isinstance(address, str) else address
        super().__init__(host, port, timeout=timeout)
        self._socket_path = address if isinstance(address, str) else None
        self._header = header
        self._by_tls = by_tls

    def connect(self) -> None:
        """Connect to the service."""
        if self._socket_path is None:
            super().connect()
        else:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._socket_path)
        self.sock.sendall(self._header)
        if self._by_tls:
            # The certificate is for the name by which others know the service.
            tls = ssl._create_unverified_context()  # noqa: S323, SLF001 - as said
            self.sock = tls.wrap_socket(self.sock)
