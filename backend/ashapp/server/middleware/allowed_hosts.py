# SPDX-License-Identifier: MIT
"""Refuse requests for hosts that the service does not answer for.

An application that makes links from the ``Host`` header, as for a new password, would otherwise put into them
whatever host a client names.
"""

import re
from collections.abc import Awaitable, Iterable
from functools import lru_cache

from ashapp.bridge.messages.errors import send_problem
from ashapp.bridge.messages.types import AsgiApplication, Receive, Scope, Send

__all__ = ["AllowedHosts"]

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+?)\.?(?::[0-9]{0,5})?")


class AllowedHosts:
    """An ASGI application that passes on requests whose ``Host`` fits one of *patterns*.

    Others are answered with 400 problem details (RFC 9110, 7.4 would have 421, but that invites to try
    again); a WebSocket is closed before it opens.
    """

    def __init__(self, app: AsgiApplication, patterns: Iterable[str]) -> None:
        self.app = app
        self._patterns = frozenset(patterns)
        self._is_allowed = lru_cache(maxsize=1024)(self._look_up)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on, or refuse it."""
        if scope["type"] in {"http", "websocket"}:
            host = next((value for name, value in scope["headers"] if name == b"host"), b"")
            if not self._is_allowed(host):
                return _refuse(scope, receive, send)
        return self.app(scope, receive, send)

    def _look_up(self, host: bytes) -> bool:
        match = _HOST.fullmatch(host.decode("latin-1").lower())
        if match is None:
            return False
        # Of a.b.example: itself, then .a.b.example, .b.example and .example.
        parts = match[1].split(".")
        suffixes = (f".{'.'.join(parts[index:])}" for index in range(len(parts)))
        return not self._patterns.isdisjoint((match[1], *suffixes))


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000, "reason": "not served for this host"})
    else:
        await send_problem(send, 400, "This service does not answer for the host that the request names.")
