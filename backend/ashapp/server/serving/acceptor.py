# SPDX-License-Identifier: MIT
"""Accept connections, with time limits for TLS, and go on when no descriptor is left.

Theory of operation. At the limit of descriptors asyncio's server logs an error, and tries again after a
second, as many times as the backlog is long. uvloop's closes what it accepts, and says nothing. So asyncio
has another server here, and with both loops one line a second says that no descriptor is left.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from ashapp.server.settings import Settings

__all__ = ["Acceptor", "tell_if_exhausted"]

_log = logging.getLogger("ashapp.server")

# Connections that are accepted before others are served.
_AT_ONCE = 64
# Seconds until the next attempt, after one that failed.
_PAUSE = 1.0

# Seconds: asyncio and uvloop can't be told to wait for ever.
_FOR_EVER = 1e7

_EXHAUSTED = {errno.EMFILE, errno.ENFILE}


class Acceptor:
    """Makes servers whose connections have the protocol that *create_protocol* returns.

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
        self._tls: dict[str, Any] = {}
        if tls is not None:
            self._tls = {"ssl": tls, "ssl_handshake_timeout": settings.timeout_head or _FOR_EVER}
            if has_limits:  # this one counts from the beginning, and would cut a client that reads slowly
                self._tls["ssl_shutdown_timeout"] = _FOR_EVER

    async def listen(self, sock: socket.socket, backlog: int) -> Any:
        """Serve what comes to *sock*; return something like an ``asyncio.Server``."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, asyncio.BaseEventLoop):  # uvloop
            return await loop.create_server(self._create_protocol, sock=sock, backlog=backlog, **self._tls)
        sock.setblocking(False)  # noqa: FBT003 - has no name
        sock.listen(backlog)
        return _Listener(loop, sock, self)

    async def serve(self, accepted: socket.socket) -> None:
        """Serve a connection that has been accepted already."""
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(self._create_protocol, accepted, **self._tls)


class _Listener:
    """Accepts what comes to *sock*, on asyncio's own loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, acceptor: Acceptor) -> None:
        self._loop = loop
        self._sock = sock
        self._acceptor = acceptor
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._begin()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def close(self) -> None:
        """Accept no more."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._sock)

    def _begin(self) -> None:
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors or no memory: it would be called again at once, for nothing
                self._loop.remove_reader(self._sock)
                self._retry = self._loop.call_later(_PAUSE, self._begin)
                return
            accepted.setblocking(False)  # noqa: FBT003 - has no name
            task = self._loop.create_task(self._acceptor.serve(accepted))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.debug("A connection came to nothing: %s", error)  # most often a TLS handshake


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
