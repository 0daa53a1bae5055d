# SPDX-License-Identifier: MIT
"""Accept connections on the sockets of a server, with limits for TLS, and go on where no descriptor is left.

Theory of operation. At the limit of descriptors asyncio's own server logs that it could not accept, as many
times as the backlog is long, and tries again after a second as many times; uvloop's closes what it accepts,
and says nothing. So asyncio has another here, and with both it is told once a second that none is left.
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

# Connections that asyncio accepts before it serves those that it has.
_AT_ONCE = 64
# Seconds until it tries again where it can't.
_PAUSE = 1.0

# asyncio and uvloop have no word for "any time".
_ANY_TIME = 1e7

_EXHAUSTED = {errno.EMFILE, errno.ENFILE}


class Acceptor:
    """Makes servers whose connections have the protocol that *create_protocol* returns.

    *tls* is an ``ssl.SSLContext``, or None. *has_limits* says whether the protocol gives up by itself a
    connection that is closed and does not get on.
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
            self._tls = {"ssl": tls, "ssl_handshake_timeout": settings.timeout_head or _ANY_TIME}
        if tls is not None and has_limits:
            # It counts from the beginning: a client that reads slowly would be cut.
            self._tls["ssl_shutdown_timeout"] = _ANY_TIME

    async def listen(self, sock: socket.socket, backlog: int) -> Any:
        """Listen on *sock*, and serve what is accepted there; return something like an ``asyncio.Server``."""
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
    """Lets *acceptor* serve what comes to *sock*, on asyncio's own loop."""

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
    """Log it if no descriptor is left for a new connection, besides so many."""
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
