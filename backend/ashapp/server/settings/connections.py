# SPDX-License-Identifier: MIT
"""Settings of connections: addresses and protocols."""

from pathlib import Path

from uvicorn.config import HTTP_PROTOCOLS, WS_PROTOCOLS

from ashapp.server.settings.types import (
    ADDRESSES,
    COUNT,
    HEADERS,
    PORT,
    POSITIVE_SECONDS,
    TEXT,
    implementation,
)
from ashapp.server.validation.kinds import FILE, FLAG, SECRET, Secret, number
from ashapp.server.validation.record import Record, field

__all__ = ["Http", "Listening", "Tls", "WebSocket"]

# The highest number that the system takes.
_MOST = 2**31 - 1


class Listening(Record, title="Listening"):
    """The addresses of the service."""

    host: str = field(TEXT, "0.0.0.0")  # noqa: S104 - DESIGN: all interfaces
    """Address to listen on."""
    port: int = field(PORT, 5000)
    """Port to listen on; 0 takes a free one."""
    uds: str | None = field(TEXT, None)
    """Listen on a UNIX domain socket instead."""
    fd: int | None = field(number(0, _MOST), None)
    """Listen on an inherited socket instead."""
    bind: list[str] | None = field(ADDRESSES, None)
    """Address to listen on, in place of host, port, uds and fd: HOST:PORT, :PORT for all interfaces with
    IPv4 and IPv6, [::1]:PORT, unix:PATH, unix:PATH?mode=660&owner=USER:GROUP or fd:NUMBER. May be given
    several times; separated by commas in a variable."""
    backlog: int | None = field(number(1, _MOST), None)


class Http(Record, title="HTTP"):
    """How HTTP is spoken."""

    http: str | None = field(implementation(HTTP_PROTOCOLS), None)
    headers: list[tuple[str, str]] | None = field(HEADERS, None)
    server_header: bool = field(FLAG, default=False)
    """Send the header 'Server: uvicorn'."""
    date_header: bool | None = field(FLAG, None)
    h11_max_incomplete_event_size: int | None = field(COUNT, None)


class Tls(Record, title="TLS"):
    """Certificates and keys."""

    ssl_keyfile: Path | None = field(FILE, None)
    ssl_certfile: Path | None = field(FILE, None)
    ssl_keyfile_password: Secret | None = field(SECRET, None)
    ssl_cert_reqs: int | None = field(number(0, 2), None)
    ssl_ca_certs: Path | None = field(FILE, None)

    def _check(self) -> None:
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("ssl_keyfile is given without ssl_certfile: give both, or neither")


class WebSocket(Record, title="WebSocket"):
    """How WebSockets are spoken."""

    ws: str | None = field(implementation(WS_PROTOCOLS), None)
    ws_max_size: int | None = field(COUNT, None)
    ws_max_queue: int | None = field(COUNT, None)
    ws_ping_interval: float | None = field(POSITIVE_SECONDS, None)
    ws_ping_timeout: float | None = field(POSITIVE_SECONDS, None)
