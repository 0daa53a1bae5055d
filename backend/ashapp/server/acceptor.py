# SPDX-License-Identifier: MIT
"""Accept connections on the sockets of a server, with limits for TLS, and go on where no descriptor is left.

Theory of operation. At the limit of descriptors asyncio tells its exception handler that it could not accept,
as many times as the backlog is long, and tries again after a second; uvloop closes what it accepts, and says
nothing. So asyncio is let accept few at a time, and not tell; what is told, once a second, is that no
descriptor is left.
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
_AT_ONCE = 32

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

    async def listen(self, sock: socket.socket, backlog: int) -> asyncio.Server:
        """Listen on *sock*, and serve what is accepted there."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, asyncio.BaseEventLoop):  # uvloop
            return await loop.create_server(self._create_protocol, sock=sock, backlog=backlog, **self._tls)
        loop.set_exception_handler(_handle)
        server = await loop.create_server(self._create_protocol, sock=sock, backlog=_AT_ONCE, **self._tls)
        sock.listen(backlog)
        return server

    async def serve(self, accepted: socket.socket) -> None:
        """Serve a connection that has been accepted already."""
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(self._create_protocol, accepted, **self._tls)


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


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if "socket" in context and isinstance(error, OSError) and error.errno in _EXHAUSTED:
        return
    loop.default_exception_handler(context)
