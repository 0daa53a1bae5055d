# SPDX-License-Identifier: MIT
"""``wsgi.input``: the body of a request as a file.

When a limit on the length of the body (``max_length``) is reached, one more byte is looked for. Werkzeug's
own check, in ``LimitedStream``, only stops there, so a chunked body that is too long would seem to be
complete.
"""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from greenlet import getcurrent
from werkzeug.exceptions import RequestEntityTooLarge

from ashapp.bridge.messages.environ import expects_continue
from ashapp.bridge.messages.errors import RequestRejected
from ashapp.bridge.messages.types import Environ
from ashapp.bridge.request.uploads.request_body import RequestBody

__all__ = ["InputStream"]


class InputStream(RequestBody, io.BufferedIOBase):
    """The body of a request as a readable binary file (PEP 3333, "Input and Error Streams").

    ``read(n)`` waits until there are *n* bytes or the body ends, as of any buffered file; ``read1`` returns
    what has come. One thread or greenlet at a time may read.

    Reads raise ``ClientDisconnected`` where the client has gone before the end of the body, and
    ``RequestEntityTooLarge`` (413) where the body is longer than ``max_length`` allows.
    """

    # The attributes of each request, with a body or without. Most need no dict besides.
    __slots__ = ("_on_disconnect", "_pump", "_receive", "_server_context", "is_complete", "is_gone", "loop")

    # Defaults of the class; see ``RequestBody``.
    #: Returns how many bytes may be read, or None for any number; asked at each read.
    max_length: Callable[[], int | None] | None = None
    # The identity of the greenlet that reads the whole body. A traceback might keep the greenlet itself for
    # longer than its thread.
    _reader: int | None = None
    # Whether such a reader was cancelled, and has lost a part of the body.
    _is_torn = False
    _chunk = b""
    _offset = 0
    _consumed = 0

    def __del__(self) -> None:
        """Skip the ``close()`` of the base class: there is nothing to close."""

    def announce(self, environ: Environ, limit: int | None, max_length: Callable[[], int | None]) -> None:
        """Prepare for reads, as the head of the request (*environ*) announces a body.

        *limit* is how many bytes may be announced, None for any number. If no length is announced,
        *max_length* returns at each read how many bytes may come.

        Raises:
            RequestRejected: more bytes are announced; the status is 413.
        """
        self.announced = True
        self.unasked = not expects_continue(environ)
        length = environ.get("CONTENT_LENGTH")
        if length is None:
            self.max_length = max_length
            return
        self.length = int(length)
        if limit is not None and self.length > limit:
            raise RequestRejected(
                413, f"The request body has {length} bytes: this service accepts {limit} at most."
            )

    def may_block(self) -> bool:
        """Say whether a read may have to wait, for the client or for another read."""
        return not self.is_complete or self._reader is not None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn to read the whole body: two readers at once would each get a part.

        The reader that has the turn may take it again.

        Raises:
            RuntimeError: an earlier reader was cancelled half-way, or to wait here would block the loop.
        """
        me = id(getcurrent())
        if self._reader == me:
            yield
            return
        self._take_turn(me)
        before = self.taken
        try:
            yield
        except BaseException as error:
            self._is_torn |= self.taken != before and not isinstance(error, Exception)
            raise
        finally:
            with self._mutex:
                self._reader = None
                self._wake_waiting()

    def _take_turn(self, reader: int) -> None:
        while True:
            with self._mutex:
                if self._is_torn:
                    raise RuntimeError(
                        "the request body can't be read: an earlier read of it was cancelled half-way, and "
                        "what that had read is lost"
                    )
                if self._reader is None:
                    self._reader = reader
                    return
                wait = self._add_waiting()
            wait()

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return *size* bytes, or fewer at the end of the body; without *size*, all of it."""
        wanted = sys.maxsize if size is None or size < 0 else size
        first = self.read1(wanted)
        if not first or len(first) == wanted:
            return first
        # Not a list of parts: joining them would take the memory twice.
        whole = io.BytesIO(first)
        whole.seek(len(first))
        while whole.tell() < wanted and (part := self.read1(wanted - whole.tell())):
            whole.write(part)
        return whole.getvalue()

    def read1(self, size: int = -1, /) -> bytes:
        """Return the bytes that have come, *size* at most; wait only if there are none."""
        data = b""
        if size and self._has_more():
            end = None if size < 0 else self._offset + size
            data = self._chunk[self._offset : end]
            self._offset += len(data)
        if self.max_length is not None:
            self._consumed += len(data)
            max_length = self.max_length()
            excess = -1 if max_length is None else self._consumed - max_length
            if excess > 0 or (excess == 0 and self._has_more()):
                raise RequestEntityTooLarge
        return data

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line with its line feed, or its first *size* bytes."""
        left = sys.maxsize if size is None or size < 0 else size
        parts = []
        while left and self._has_more():
            newline = self._chunk.find(b"\n", self._offset) + 1
            available = (newline or len(self._chunk)) - self._offset
            parts.append(self.read1(min(available, left)))
            left -= len(parts[-1])
            if parts[-1].endswith(b"\n"):
                break
        return b"".join(parts)

    def _has_more(self) -> bool:
        if self._offset >= len(self._chunk):
            self._chunk, self._offset = self.next_chunk(), 0
        return bool(self._chunk)
