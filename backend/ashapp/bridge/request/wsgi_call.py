# SPDX-License-Identifier: MIT
"""One HTTP request and its response: the application's part, which is the same wherever it runs.

``WsgiCall`` makes the WSGI call, iterates what it returns and closes it. All of it runs in one
``contextvars.Context`` that is made for this request, so nothing of one request can be seen in the next,
whatever the server does with its own tasks. Where it runs, and how what it sends gets to the server, is
said by two subclasses: on a worker thread (``threaded``), or on the loop (``native``).
"""

from __future__ import annotations

import logging
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

from ashapp.bridge.concurrency.context import body_may_block, new_context
from ashapp.bridge.messages.errors import BodyOverdue, ClientDisconnected
from ashapp.bridge.messages.request_info import INFO, RequestInfo
from ashapp.bridge.messages.response import Response
from ashapp.bridge.request.output_queue import HIGH_WATER

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from contextvars import Context

    from ashapp.bridge.concurrency.call import Cancellable
    from ashapp.bridge.messages.types import Environ, ExcInfo, Message, Send, WsgiApplication
    from ashapp.bridge.request.request_body import RequestBody

__all__ = [
    "RUN_OUT_SECONDS",
    "WsgiCall",
    "as_exception",
    "log_late_failure",
]

_log = logging.getLogger("ashapp.bridge")

#: Seconds that an iterable has when the response is complete, before it is closed.
RUN_OUT_SECONDS = 5.0
# And how many items, of how many bytes in all, it may go on to make.
_RUN_OUT_ITEMS = 1000
_RUN_OUT_BYTES = 1 << 20


class WsgiCall:
    """The WSGI call of one request.

    *startup* is the context in which the server has been started.
    """

    #: Seconds that the application has until its response begins; None for any time.
    timeout: float | None = None
    #: Seconds that what is cancelled, or left running, has to end.
    grace = 5.0
    #: Makes the context of a request.
    make_context: Callable[[Context], Context] = staticmethod(new_context)
    #: Whether Flask has matched the request.
    matched = False
    #: Where the application runs, as the notes call it.
    place = "thread"
    _opened = False
    _complete = False

    def __init__(
        self,
        application: WsgiApplication,
        environ: Environ,
        body: RequestBody,
        loop: asyncio.AbstractEventLoop,
        startup: Context,
    ) -> None:
        self.loop = loop
        #: Whether Flask tears down the request, which nothing is to interrupt.
        self.tearing_down = False
        self.context = self.make_context(startup)
        self.body = body
        if body.announced:
            self.context.run(body_may_block.set, environ["wsgi.input"].may_block)
        self._application = application
        self._environ = environ
        self._response = Response(environ["REQUEST_METHOD"])
        self.info: RequestInfo | None = environ["asgi.scope"].get(INFO)
        if self.info is not None:
            self.info.place = self.place
            self.context.run(self.info.bind)

    @property
    def is_complete(self) -> bool:
        """Whether the whole response has been made."""
        return self._complete

    def __str__(self) -> str:
        return f"{self._environ['REQUEST_METHOD']} {self._environ['PATH_INFO']}"

    def respond(self, send: Send) -> Awaitable[None]:
        """Send the response that the application makes, and return when it has done with the request.

        Raises:
            RequestTimeout: the time was up before the response began.
            Exception: what the application raised and no response tells the client of.

        """
        raise NotImplementedError

    def note_match(self, endpoint: str) -> None:
        """Take note of the *endpoint* that Flask has matched. In the context of the request."""

    def note_response(self, response: Any) -> None:
        """Take note of the *response* that Flask iterates next."""

    def coroutine_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop for the coroutines that a thread of this call waits for. On that thread."""
        return self.loop

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call *callback* when the application has done with the request, now or later. On the loop."""
        callback()

    def note_task(self, task: Cancellable) -> None:
        """Take note that a thread of this call waits for *task*, which may be cancelled. On the loop."""

    async def _judge(self, error: Exception, send: Send) -> Exception | None:
        """Return what to raise for *error*, by which the server has refused the end of the response.

        That is nothing where the body is too short: where a response is not complete, the server closes the
        connection. If it takes this one to be complete all the same, it must be told.
        """
        if not (self._complete and self._response.remaining):
            return error
        try:
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        except Exception:
            return error
        return None

    def leave_teardown(self, outer: bool) -> None:  # noqa: FBT001 - what ``tearing_down`` was
        """Go back to what ``tearing_down`` was before, and do what has been put off until then."""
        self.tearing_down = outer

    def _open(self, head: Message, chunk: bytes) -> None:
        """Send the head and the first of the body, all of it if the response is complete."""
        raise NotImplementedError

    def _continue(self, chunk: bytes) -> None:
        """Send more of the body, the last of it if the response is complete."""
        raise NotImplementedError

    def _check_client(self) -> None:
        """Raise ``ClientDisconnected`` if the client is known to have gone."""
        raise NotImplementedError

    def _receive_iterable(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        """Return what to iterate and to close in place of the application's *iterable*."""
        return iterable

    def _check_wanted(self) -> None:
        """Raise ``ClientDisconnected`` if the request has been given up."""
        raise NotImplementedError

    def _call_application(self) -> None:
        iterable = self._receive_iterable(self._application(self._environ, self._start_response))
        try:
            if isinstance(iterable, list | tuple) and sum(map(len, iterable)) <= HIGH_WATER:
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
                close()

    def _run_out(self, chunks: Iterator[bytes]) -> None:
        """Let the iterable run to its end, for what is behind its last item; what it makes is dropped.

        The response is complete, and the client does not wait. An iterable that is endless is closed.
        """
        try:
            chunk = next(chunks, None)  # nearly always there is none
            is_over = chunk is None or self._drop(chain((chunk,), chunks))
        except BodyOverdue:
            is_over = False
        if not is_over:
            _log.warning("%s: what makes the response body goes on past its end: closed", self)

    def _drop(self, chunks: Iterable[bytes]) -> bool:
        """Iterate *chunks* to their end, within bounds; say whether it was reached."""
        dropped, end = 0, float("inf")
        for count, chunk in enumerate(chunks, 1):
            if not dropped and chunk and not self._response.bodiless:
                _log.warning("the response body is longer than its Content-Length: cut off")
            dropped += len(chunk)
            now = time.monotonic()
            end = min(end, now + RUN_OUT_SECONDS)
            if count >= _RUN_OUT_ITEMS or dropped > _RUN_OUT_BYTES or now > end:
                return False
        return True

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        self._response.start(status, headers, exc_info)
        return self._write

    def _write(self, chunk: bytes) -> None:
        # It returns None (PEP 3333): a result would be taken for a count of bytes, as of a file's ``write``.
        self._send(chunk)

    def _send(self, chunk: bytes, *, last: bool = False) -> bool:
        """Send *chunk*, and before the first one the headers; say whether the response is complete."""
        response = self._response
        if self._complete:
            return True
        if not isinstance(chunk, bytes):
            raise TypeError(
                f"the application sent {type(chunk).__name__} for a body: expected bytes (PEP 3333)"
            )
        if not (chunk or last or response.bodiless):
            self._check_client()
            return False  # the headers wait for the first byte (PEP 3333, "Buffering and Streaming")
        head = None if response.sealed else response.head()
        part = response.clip(chunk)
        if len(part) < len(chunk) and not response.bodiless:
            _log.warning("the response body is longer than its Content-Length: cut off")
        if last and response.remaining:
            self._end_short(head, part)
            return True
        self._complete = last or response.bodiless or response.remaining == 0
        if head is not None:
            self._open(head, part)
        else:
            self._continue(part)
        return self._complete

    def _end_short(self, head: Message | None, part: bytes) -> None:
        """End a body that is shorter than its Content-Length as other servers do: what there is goes out.

        Where there is nothing at all, a proxy may send a file in its place (``X-Sendfile``).

        Raises:
            RuntimeError: something has gone out, and what is still due must be missed by the client.

        """
        if head is not None and not part:
            if not self._response.is_handed_over:
                _log.warning("%s: the response has no body, but its Content-Length is not 0", self)
            elif self.info is not None:
                self.info.handed_over = True
            self._complete = True
            self._open(head, part)
            return
        if head is not None:
            self._open(head, part)
        elif part:
            self._continue(part)
        raise RuntimeError(
            f"the response body ended {self._response.remaining} bytes short of its Content-Length"
        )


def as_exception(error: BaseException) -> Exception:
    """Return *error* as something that a task can raise without stopping the loop, or being misread."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    substitute = RuntimeError(f"the application raised {error!r}")
    substitute.__cause__ = error
    return substitute


def log_late_failure(error: BaseException) -> None:
    """Log *error*, which was raised when the response was complete already."""
    if not isinstance(error, ClientDisconnected):
        _log.error("the response was complete, then its end failed", exc_info=error)
