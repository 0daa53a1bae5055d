# SPDX-License-Identifier: MIT
"""The server side of PEP 3333: calls an application, and turns its response into messages.

Theory of operation. An iterable is sent item by item. A small list is complete at once, and is sent in one
piece. The head waits for the first byte. A body that is longer than its ``Content-Length``, or not allowed at
all, is cut; one that is too short breaks the connection off. The log tells of both.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator

from ashapp.bridge.messages.errors import BodyOverdue
from ashapp.bridge.messages.response import Response
from ashapp.bridge.messages.types import Environ, ExcInfo, Message, RequestInfo, WsgiApplication
from ashapp.bridge.request.output_queue import HIGH_WATER
from ashapp.bridge.request.phases import Phase

__all__ = ["RUN_OUT_SECONDS", "WsgiOutput", "log_late_failure"]

_log = logging.getLogger("ashapp.bridge")

#: When the response is complete, its iterable is closed after so many seconds,
RUN_OUT_SECONDS = 5.0
# or after this many further items.
_RUN_OUT_ITEMS = 100

_TOO_LONG = "the response body is longer than its Content-Length: cut off"


class WsgiOutput:
    """What *application* makes of *environ*; `WsgiCall` sets the attributes. Where the application runs."""

    application: WsgiApplication
    environ: Environ
    info: RequestInfo | None
    phase: Phase
    _response: Response
    # Whether the application has been cancelled in this phase.
    _interrupted: bool
    # Bytes of a body that is there already, as a list; else -1.
    _size = -1

    def _check_wanted(self) -> None:
        """Raise ``ClientDisconnected`` if nobody wants the response any more."""
        raise NotImplementedError

    def _open(self, head: Message, chunk: bytes) -> None:
        """Send the head and the first of the body, all of it if the response is complete."""

    def _continue(self, chunk: bytes) -> None:
        """Send more of the body, the last of it if the response is complete."""

    def _adopt(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        """Return the iterable to use in place of the application's *iterable*."""
        return iterable

    def send_all(self, iterable: Iterable[bytes]) -> None:
        """Send the response whose body is *iterable*, what the application has returned."""
        self.phase = Phase.ITERATING
        self._interrupted = False
        iterable = self._adopt(iterable)
        try:
            if isinstance(iterable, (list, tuple)):
                self._size = sum(map(len, iterable))
            if 0 <= self._size <= HIGH_WATER:
                self._send(b"".join(iterable), last=True)
                return
            self._check_wanted()  # its first item may be long in coming
            chunks = iter(iterable)
            for chunk in chunks:
                if self._send(chunk):
                    self._run_out(chunks)
                    return
            self._send(b"", last=True)
        finally:
            close = getattr(iterable, "close", None)
            if close is not None:
                # Behind an error, too: one that has been cancelled before it has begun would never be called.
                self.phase = Phase.COMPLETE
                close()

    def _run_out(self, chunks: Iterator[bytes]) -> None:
        """Let the iterable run to its end, for code after its last item. Further items are dropped.

        The response is complete, and the client does not wait. An iterable that is endless is closed.
        """
        dropped, end = 0, math.inf
        try:
            for count, chunk in enumerate(chunks, 1):
                if chunk and not dropped and not self._response.bodiless:
                    _log.warning(_TOO_LONG)
                dropped += len(chunk)
                end = min(end, time.monotonic() + RUN_OUT_SECONDS)
                if count >= _RUN_OUT_ITEMS or time.monotonic() > end:
                    break
            else:
                return
        except BodyOverdue:
            pass
        _log.warning("%s: what makes the response body goes on past its end: closed", self)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """Begin the response, as PEP 3333 says of a callable of this name."""
        self._response.start(status, headers, exc_info)
        if self.phase is Phase.RUNNING:
            self.phase = Phase.STARTED
        return self._write

    def _write(self, chunk: bytes) -> None:
        # It returns None (PEP 3333): a result would be taken for a count of bytes, as of a file's ``write``.
        self._send(chunk)

    def send_whole(self, body: bytes, close: Callable[[], object]) -> None:
        """Send the response whose body is *body*, then *close* it."""
        self.phase = Phase.ITERATING
        self._interrupted = False
        try:
            self._send(body, last=True)
        finally:
            self.phase = Phase.COMPLETE
            close()

    def _send(self, chunk: bytes, *, last: bool = False) -> bool:
        """Send *chunk*, and before the first one the headers; say whether the response is complete."""
        response = self._response
        if response.complete:
            return True
        if not isinstance(chunk, bytes):
            raise TypeError(
                f"the application sent {type(chunk).__name__} for a body: expected bytes (PEP 3333)"
            )
        self._check_wanted()
        if not (chunk or last or response.bodiless):
            return False  # the headers wait for the first byte (PEP 3333, "Buffering and Streaming")
        head = None if response.sealed else response.head()
        part = response.clip(chunk)
        if part is not chunk and not response.bodiless:
            _log.warning(_TOO_LONG)
        missing = response.remaining if last else None
        if missing and head is not None and not part:
            self._note_no_body()
            missing = None
        response.complete = not missing and (last or response.bodiless or response.remaining == 0)
        if head is not None:
            self._open(head, part)
        elif part or not missing:
            self._continue(part)
        if missing:  # the bytes so far are sent, and the client must notice that the rest is missing
            raise RuntimeError(f"the response body ended {missing} bytes short of its Content-Length")
        if response.complete:
            self.phase = Phase.COMPLETE
        return response.complete

    def _note_no_body(self) -> None:
        """Take note that there is no body in spite of the Content-Length, as when a proxy sends a file."""
        if not self._response.is_handed_over:
            _log.warning("%s: the response has no body, but its Content-Length is not 0", self)
        elif self.info is not None:
            self.info.handed_over = True


def log_late_failure(error: BaseException) -> None:
    """Log *error*, which was raised when the response was complete already."""
    _log.error("the response was complete, then its end failed", exc_info=error)
