# SPDX-License-Identifier: MIT
"""The body of a request, on its way from a test client's ``wsgi.input`` to ``receive()``."""

import asyncio
from typing import Any

from ashapp.bridge.messages.types import Environ, Message

__all__ = ["Upload"]

_CHUNK_SIZE = 65536


class Upload:
    """The ``receive()`` of one request: its body, and then the client's departure."""

    def __init__(self, environ: Environ) -> None:
        self._stream: Any = environ["wsgi.input"]
        self._left = _length(environ)
        self._complete = False
        self._gone = asyncio.Event()
        self._start = self._stream.tell() if _is_seekable(self._stream) else None

    def go_away(self) -> None:
        """Close the connection. On the loop."""
        self._gone.set()

    def rewind(self) -> None:
        """Put ``wsgi.input`` back to where it was: a client can repeat what it sent for a redirect."""
        if self._start is not None and not self._stream.closed:
            self._stream.seek(self._start)

    async def receive(self) -> Message:
        """Return the next event (ASGI, "Request - receive event" and "Disconnect - receive event")."""
        if self._complete:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        chunk = self._stream.read(_CHUNK_SIZE if self._left is None else min(_CHUNK_SIZE, self._left))
        if self._left is None:
            self._complete = not chunk
        elif chunk or not self._left:
            self._left -= len(chunk)
            self._complete = self._left == 0
        else:  # it has less than it announced
            self._complete = True
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": not self._complete}


def _length(environ: Environ) -> int | None:
    """Return how many bytes of ``wsgi.input`` the client sends; None for all that there are."""
    if "CONTENT_LENGTH" in environ:
        return int(environ["CONTENT_LENGTH"] or 0)
    if environ.get("wsgi.input_terminated") or "HTTP_TRANSFER_ENCODING" in environ:
        return None
    return 0


def _is_seekable(stream: Any) -> bool:
    seekable = getattr(stream, "seekable", None)
    return seekable is not None and bool(seekable())
