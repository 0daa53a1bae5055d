# SPDX-License-Identifier: MIT
"""Corrects responses of uvicorn: no field comes twice, and HTTP/1.0 clients see where a body ends."""

import asyncio
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from uvicorn.server import ServerState

__all__ = ["DefaultHeaders", "close_delimited", "closes", "end_by_reset", "respect_own_fields"]

_Field = tuple[bytes, bytes]

# Fields of a response that are no lists: it may have each only once (RFC 9110, 5.3).
_SINGLE = frozenset(
    b"age content-length content-type date etag expires last-modified location retry-after server".split()
)


class DefaultHeaders(list[_Field]):
    """The fields that a server adds to a response, unless the application has set them."""

    def __init__(self, fields: Iterable[_Field] = ()) -> None:
        super().__init__(fields)
        self._single = _SINGLE.intersection(name for name, _ in self)
        self._block = _block(self)
        #: Whether they announce the end of the connection.
        self.says_close = any(name == b"connection" and closes(value) for name, value in self)

    def block_beside(self, own: list[_Field]) -> bytes:
        """Return the lines of the fields that the application has not set; *own* are its fields."""
        single = self._single
        for name, _ in own:
            if name in single:
                return _block(self._others(own))
        return self._block

    def __add__(self, own: list[_Field]) -> list[_Field]:  # type: ignore[override]
        """Return both lists, without the default of a field that is in *own*."""
        return [*self._others(own), *own]

    def _others(self, own: list[_Field]) -> list[_Field]:
        twice = self._single.intersection(name for name, _ in own)
        return [field for field in self if field[0] not in twice]


def _block(fields: Iterable[_Field]) -> bytes:
    return b"".join([b"%s: %s\r\n" % field for field in fields])


def closes(value: bytes) -> bool:
    """Return whether this *value* of the field Connection tells that the connection ends."""
    return b"close" in map(bytes.strip, value.lower().split(b","))


def respect_own_fields(server_state: ServerState) -> None:
    """Let the responses that begin from now on have no field twice; uvicorn makes a new list each second."""
    if not isinstance(server_state.default_headers, DefaultHeaders):
        server_state.default_headers = DefaultHeaders(server_state.default_headers)


def close_delimited(app: Any) -> Any:
    """Return *app* with a layer for clients of HTTP/1.0, for use with the parser h11.

    h11 lets a body of unknown length end with the connection (RFC 9112, 6.3). A body that is cut off must not
    look complete, so the connection ends by a reset until all of it is sent.
    """

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, _CloseDelimited(send.__self__).send)

    return serve


class _CloseDelimited:
    """Stands for a *cycle* of uvicorn's: a request and its response."""

    def __init__(self, cycle: Any) -> None:
        self._cycle = cycle
        self._length_is_unknown = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cycle, name)

    async def send(self, message: Any) -> None:
        """Send *message*."""
        if message["type"] == "http.response.start" and not self._cycle.response_started:
            self._length_is_unknown = all(name != b"content-length" for name, _ in message.get("headers", ()))
            if self._length_is_unknown:
                end_by_reset(self._cycle.transport, is_cut=True)
        elif self._length_is_unknown and not message.get("more_body", False):
            end_by_reset(self._cycle.transport, is_cut=False)
        await self._cycle.send(message)


def end_by_reset(transport: asyncio.Transport, *, is_cut: bool) -> None:
    """Let the connection of *transport* end by a reset from now on; or no longer."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", is_cut, 0))
