# SPDX-License-Identifier: MIT
"""Accept connections, with time limits for TLS, and go on when no descriptor is left.

Theory of operation. When no descriptor is left, asyncio's server logs an error for each place of its backlog,
and tries again after a second. uvloop's server closes the connections that it accepts, and logs nothing. So
asyncio gets another server here, and with both loops one line a second says that no descriptor is left.

A process that is about to be replaced *gives way*: it leaves new connections to the new processes. Otherwise
a client that was told to leave might come back to it, and be told again. Many times a second it checks
whether a connection waits. If a connection waits at several checks in a row, the new processes are too slow
or have failed, and this one accepts. So no connection is lost; only the first clients wait for a moment.
"""

import asyncio
import errno
import functools
import logging
import select
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ashapp.server.proxies.connections import ProxyHeaderReader
from ashapp.server.proxies.trusted import TrustedProxies
from ashapp.server.settings.model import Settings

__all__ = ["Acceptor", "tell_if_exhausted"]

_log = logging.getLogger("ashapp.server")

# Connections that are accepted before others are served.
_AT_ONCE = 64
# Seconds between a failed attempt and the next.
_PAUSE = 1.0

# Seconds between the checks of a process that gives way.
_LOOK = 0.02
# How many checks in a row must find a waiting connection, and how many connections each then accepts.
_LOOKS = 10
_LEFT_AT_ONCE = 8

# Seconds. asyncio and uvloop have no value for "no limit".
_FOR_EVER = 1e7

_EXHAUSTED = {errno.EMFILE, errno.ENFILE}


class Acceptor:
    """Accepts connections, and gives each a protocol of *create_protocol*.

    *tls* is an ``ssl.SSLContext``, or None. *has_limits* says whether the protocol itself gives up a
    connection that does not end.
    """

    def __init__(
        self,
        settings: Settings,
        create_protocol: Callable[[], asyncio.Protocol],
        tls: Any,
        *,
        has_limits: bool,
    ) -> None:
        self._create_protocol = create_protocol
        self._backlog = 0
        self._servers: dict[socket.socket, Any] = {}
        self._tls: dict[str, Any] = {}
        if tls is not None:
            self._tls = {"ssl": tls, "ssl_handshake_timeout": settings.timeout_head or _FOR_EVER}
            if (
                has_limits
            ):  # this limit counts from the beginning, and would cut off a client that reads slowly
                self._tls["ssl_shutdown_timeout"] = _FOR_EVER
        self._header_reader = None
        if settings.proxy_protocol:
            trusted = TrustedProxies(settings.forwarded_allow_ips)
            self._header_reader = ProxyHeaderReader(trusted, settings.connection_limits.head_seconds)

    async def listen(self, sockets: Iterable[socket.socket], backlog: int) -> None:
        """Accept connections of *sockets*. Each server closes a descriptor of its own."""
        self._backlog = backlog
        for sock in sockets:
            self._servers[sock] = await self._open(sock.dup())

    async def give_way(self, *, to_others: bool) -> None:
        """Begin or end to give way: leave new connections to other processes, as far as these accept them."""
        for sock, server in self._servers.items():
            try:
                copy = sock.dup()
            except OSError:  # no descriptor is left: as it was will do
                return
            self._servers[sock] = _GivingWay(self, copy) if to_others else await self._open(copy)
            server.close()

    def close(self) -> None:
        """Accept no more."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    def descriptors(self) -> Iterator[int]:
        """Yield the descriptors at which it accepts: copies of the ones that were given."""
        for server in self._servers.values():
            yield from (sock.fileno() for sock in server.sockets)

    async def _open(self, sock: socket.socket) -> Any:
        loop = asyncio.get_running_loop()
        is_uvloop = not isinstance(loop, asyncio.BaseEventLoop)
        if is_uvloop and self._header_reader is None:
            return await loop.create_server(
                self._create_protocol, sock=sock, backlog=self._backlog, **self._tls
            )
        sock.listen(self._backlog)
        return _Listener(self, sock)

    def begin(self, accepted: socket.socket, tasks: set[asyncio.Task[None]]) -> None:
        """Begin to serve a connection that has been accepted already.

        *tasks* has its task until it has a protocol: after the header of a proxy and the TLS handshake.
        """
        task = asyncio.get_running_loop().create_task(self._serve(accepted))
        tasks.add(task)
        task.add_done_callback(functools.partial(_begun, tasks))

    async def _serve(self, accepted: socket.socket) -> None:
        create_protocol = self._create_protocol
        if self._header_reader is not None:
            proxied = await self._header_reader.protocol_of(accepted, create_protocol)
            if proxied is None:
                return
            create_protocol = proxied
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(create_protocol, accepted, **self._tls)


class _Listener:
    """Accepts the connections of *sock*, for *acceptor*."""

    _at_once = _AT_ONCE

    def __init__(self, acceptor: Acceptor, sock: socket.socket) -> None:
        sock.setblocking(False)  # noqa: FBT003 - has no name
        self._acceptor = acceptor
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        #: As ``asyncio.Server.sockets``.
        self.sockets = (sock,)
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._begin()

    def close(self) -> None:
        """Accept no more."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _begin(self) -> None:
        self._loop.add_reader(self._sock, self._accept)

    def _begin_in(self, seconds: float) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._loop.call_later(seconds, self._begin)

    def _accept(self) -> None:
        for _ in range(self._at_once):
            try:
                accepted, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors or no memory: it would be called again at once, for nothing
                self._loop.remove_reader(self._sock)
                self._begin_in(_PAUSE)
                return
            accepted.setblocking(False)  # noqa: FBT003 - has no name
            self._acceptor.begin(accepted, self._tasks)


def _begun(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.debug("A connection came to nothing: %s", error)  # most often a TLS handshake


class _GivingWay(_Listener):
    """Accepts only connections that other processes leave waiting."""

    _at_once = _LEFT_AT_ONCE
    _looks = 0

    def _begin(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        self._looks = self._looks + 1 if poll.poll(0) else 0
        self._begin_in(_LOOK)
        if self._looks >= _LOOKS:
            self._accept()


def tell_if_exhausted(connections: int) -> None:
    """Log it if no descriptor is left for another connection."""
    try:
        socket.socket().close()
    except OSError as error:
        if error.errno in _EXHAUSTED:
            _log.error(
                "%s, with %d connections: new ones have to wait, or are closed; raise the limit (ulimit -n, "
                "LimitNOFILE) or have more workers",
                error.strerror,
                connections,
            )
