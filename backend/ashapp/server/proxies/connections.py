# SPDX-License-Identifier: MIT
"""Connections that proxies pass on by the PROXY protocol.

Theory of operation. The header comes first, also before TLS. So it is read from the socket before that has a
transport and a protocol: these see a connection like any other. The kernel's buffer is peeked at, and only
the header is taken out of it. The transport then has the addresses of the header, and so have all that ask
the transport: uvicorn's protocols for HTTP and for WebSockets.

A header with addresses is a claim, which only trusted peers may make. A header without addresses makes no
claim, and may come from any peer. A connection without a header is never served: the specification does not
allow to guess (section 2).
"""

import asyncio
import logging
import math
import socket
from collections.abc import Callable
from typing import Any

from ashapp.bridge.concurrency.futures import resolve
from ashapp.server.protocols.limits import Refusal, refused
from ashapp.server.proxies.proxy_protocol import LONGEST, ProxyHeader, parse_proxy_header
from ashapp.server.proxies.trusted import UNIX, TrustedProxies, normal_address

__all__ = ["ProxyHeaderReader"]

_log = logging.getLogger("ashapp.server")


class ProxyHeaderReader:
    """Reads the header with which a proxy begins a connection.

    A proxy has *seconds* to send it. Only proxies in *trusted* may tell addresses.
    """

    def __init__(self, trusted: TrustedProxies, seconds: float) -> None:
        self._trusted = trusted
        self._seconds = None if math.isinf(seconds) else seconds

    async def protocol_of(
        self, sock: socket.socket, create_protocol: Callable[[], asyncio.Protocol]
    ) -> Callable[[], asyncio.Protocol] | None:
        """Read the header of the connection of *sock*, and return a factory of its protocol.

        Return None for a connection that is not served: it is closed. A refusal is counted and logged; a
        client that has only gone away is not.
        """
        peer = "a peer that has gone"
        try:
            address = sock.getpeername()
            peer = "{}:{}".format(*address) if isinstance(address, tuple) else "a UNIX domain socket"
            header = await self._read(sock)
            if header.client is None and not header.is_tls:
                return create_protocol
            self._check(address)
        except Refusal as refusal:
            refused[refusal.status] += 1
            _log.info("Refused a connection of %s: %s", peer, refusal.detail)
        except OSError as error:
            _log.debug("A connection of %s came to nothing: %s", peer, error)
        except BaseException:
            sock.close()
            raise
        else:
            return lambda: _Introducer(header, create_protocol)
        sock.close()
        return None

    async def _read(self, sock: socket.socket) -> ProxyHeader:
        received = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                return await _take_header(sock, received)
        except TimeoutError:
            if not received:
                raise
            late = f"The header of the PROXY protocol was not complete after {self._seconds:g} s."
            raise Refusal(408, late) from None

    def _check(self, address: Any) -> None:
        peer = normal_address(address[0]) or "" if isinstance(address, tuple) else UNIX
        if not self._trusted.trusts(peer):
            raise Refusal(
                403,
                "It has a header of the PROXY protocol, and is not trusted: "
                "if it is a proxy of yours, name it in forwarded_allow_ips.",
            )


async def _take_header(sock: socket.socket, received: bytearray) -> ProxyHeader:
    """Take the header out of *sock*, and not a byte more; *received* gets its bytes as they come."""
    while True:
        piece = await _peek(sock)
        header = parse_proxy_header(bytes(received + piece))
        if header is not None:
            sock.recv(header.length - len(received))
            return header
        if not piece and received:
            raise Refusal(400, "It has ended within its header of the PROXY protocol.")
        if not piece:  # as by balancers, to see whether somebody listens
            raise ConnectionError("it has ended before it began")
        received += sock.recv(len(piece))


async def _peek(sock: socket.socket) -> bytes:
    """Wait until something has come, and return it, without taking it."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return sock.recv(LONGEST, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            readable = loop.create_future()
            loop.add_reader(sock, resolve, readable)
            try:
                await readable
            finally:
                loop.remove_reader(sock)


class _Introducer(asyncio.Protocol):
    """Makes the protocol of a connection as soon as it has a transport, and hands the connection over."""

    def __init__(self, header: ProxyHeader, create_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._header = header
        self._create_protocol = create_protocol

    def connection_made(self, transport: Any) -> None:
        protocol = self._create_protocol()
        transport.set_protocol(protocol)
        stand_in: Any = _ProxiedTransport(transport, self._header)
        protocol.connection_made(stand_in)


class _ProxiedTransport:
    """Stands for *transport*, with the addresses and the TLS of *header*."""

    def __init__(self, transport: asyncio.Transport, header: ProxyHeader) -> None:
        self._transport = transport
        self._told: dict[str, Any] = {}
        if header.client is not None:
            sock = _ProxiedSocket(transport.get_extra_info("socket"), header)
            self._told = {"socket": sock, "peername": header.client, "sockname": header.server}
        if header.is_tls:
            self._told["sslcontext"] = True  # by which uvicorn knows the scheme

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known by *name*; see ``asyncio.BaseTransport``."""
        return self._told[name] if name in self._told else self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _ProxiedSocket:
    """A view of *sock*, not for I/O, that has the addresses in *header*."""

    def __init__(self, sock: Any, header: ProxyHeader) -> None:
        self._sock = sock
        self._header = header

    def getpeername(self) -> Any:
        return self._header.client

    def getsockname(self) -> Any:
        return self._header.server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
