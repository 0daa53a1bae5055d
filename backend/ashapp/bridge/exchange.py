# SPDX-License-Identifier: MIT
"""One HTTP request and its response: where the worker thread and the loop meet.

Theory of operation. ``run`` is the whole WSGI call on one worker thread: the application, the iteration of
what it returns, and ``close()``. All of it runs in one ``contextvars.Context``, made for this request and
current on that thread for as long, so nothing of one request can be seen in the next, whatever the
server does with its own tasks. ``respond`` is the other half, in the task that the server made for the
request: it waits for the thread and awaits ``send``.

The two meet at ``_opening``, a future that the thread resolves once, in one crossing to the loop. In most
cases the response is complete by then (its length is known and reached, or it is a list), and goes
out as one start and one body message; the thread then closes the iterable while the loop sends. Else the
rest follows through a ``BodyStream``, while ``RequestBody`` watches for a client that goes away. Until the
first byte of a body is sent nobody watches: a view that runs on a thread can't be stopped, so
knowing would change nothing.

The context is made current through greenlet's ``gr_context``, not with ``Context.run``, because that marks
it as entered, and then a coroutine of the same request could not run in it on the loop while the
thread waits (see ``coroutines``).
"""

from __future__ import annotations

import logging
import threading
from contextvars import Context
from typing import TYPE_CHECKING

from greenlet import getcurrent

from ashapp.bridge.coroutines import adopt_loop
from ashapp.bridge.errors import ClientDisconnected
from ashapp.bridge.futures import resolve
from ashapp.bridge.response import Response
from ashapp.bridge.stream import HIGH_WATER, BodyStream

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ashapp.bridge.body import RequestBody
    from ashapp.bridge.types import Environ, ExcInfo, Message, Send, WsgiApplication

__all__ = ["Exchange", "current_exchange"]

_log = logging.getLogger("ashapp.bridge")
_thread = threading.local()

# The head, the first bytes, and where the rest of the body comes from: None if that is all.
_Opening = tuple["Message", bytes, BodyStream | None]


def current_exchange() -> Exchange | None:
    """Return the exchange whose WSGI call runs on this thread, or None."""
    return getattr(_thread, "exchange", None)


class Exchange:
    """The WSGI call of one request, on a thread, and the sending of its response, on the loop."""

    _opened = False
    _complete = False
    _stream: BodyStream | None = None
    _abandoned = False
    _finished = False
    _waiter: asyncio.Future[None] | None = None

    def __init__(
        self,
        application: WsgiApplication,
        environ: Environ,
        body: RequestBody,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.loop = loop
        self.context = Context()
        self.body = body
        self._application = application
        self._environ = environ
        self._response = Response(environ["REQUEST_METHOD"])
        self._opening: asyncio.Future[_Opening] = loop.create_future()

    # -- on the loop

    async def respond(self, send: Send) -> None:
        """Send the response that ``run`` makes, and return when its thread has done with the request.

        Raises:
            Exception: what the application raised and no response tells the client of.

        """
        stream = None
        try:
            head, chunk, stream = await self._opening
            try:
                await send(head)
                if stream is None:
                    await send({"type": "http.response.body", "body": chunk, "more_body": False})
                else:
                    await self._send_stream(stream, chunk, send)
            except OSError:  # the client has gone (ASGI 2.4)
                self._abandon()
            if not self._finished:
                await self._join()
            if stream is not None and stream.error is not None:
                raise stream.error
        except ClientDisconnected:
            return  # there is nobody to answer
        finally:
            self._abandon()

    async def _send_stream(self, stream: BodyStream, chunk: bytes, send: Send) -> None:
        self.body.watch(stream.abandon)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        while (item := await stream.get()) is not None:
            chunk, more = item
            await send({"type": "http.response.body", "body": chunk, "more_body": more})
            if not more:
                return

    async def _join(self) -> None:
        self._waiter = self.loop.create_future()
        if not self._finished:
            await self._waiter

    def _abandon(self) -> None:
        self._abandoned = True
        if self._stream is not None:
            self._stream.abandon()
        self.body.stop()

    def _settle(self, opening: _Opening | None, error: Exception | None = None) -> None:
        if self._opening.done():  # cancelled: nobody will send what the thread makes
            self._abandon()
        elif opening is not None:
            self._opening.set_result(opening)
        elif error is not None:
            self._opening.set_exception(error)

    # -- on the worker thread

    def run(self) -> None:
        """Make the response: the application's whole part in this request. Raises nothing."""
        greenlet = getcurrent()
        outer_context, greenlet.gr_context = greenlet.gr_context, self.context
        outer_exchange, _thread.exchange = current_exchange(), self
        adopt_loop(self.loop)
        try:
            if not self._abandoned:
                self._call_application()
        except BaseException as error:
            self._fail(error)
        finally:
            _thread.exchange = outer_exchange
            greenlet.gr_context = outer_context
            self.body.discard()
            self._finished = True
            if self._waiter is not None:
                self._cross(resolve, self._waiter)

    def _call_application(self) -> None:
        iterable = self._application(self._environ, self._start_response)
        try:
            if isinstance(iterable, list | tuple) and sum(map(len, iterable)) <= HIGH_WATER:
                self._send(b"".join(iterable), last=True)
                return
            for chunk in iterable:
                if self._send(chunk):
                    return
            self._send(b"", last=True)
        finally:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        self._response.start(status, headers, exc_info)
        return self._send

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
            return False  # the headers wait for the first byte (PEP 3333, "Buffering and Streaming")
        head = None if response.sealed else response.head()
        part = response.clip(chunk)
        if len(part) < len(chunk) and not response.bodiless:
            _log.warning("the response body is longer than its Content-Length: cut off")
        if last and response.remaining:
            raise RuntimeError(
                f"the response body ended {response.remaining} bytes short of its Content-Length"
            )
        self._complete = last or response.bodiless or response.remaining == 0
        if head is not None:
            self._open(head, part)
        elif self._stream is not None:
            self._stream.put(part, last=self._complete)
        return self._complete

    def _open(self, head: Message, chunk: bytes) -> None:
        if not self._complete:
            self._stream = BodyStream(self.loop)
        self._opened = True
        if not self._cross(self._settle, (head, chunk, self._stream)) and self._stream is not None:
            self._stream.abandon()

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, Exception) or isinstance(error, StopIteration):
            # SystemExit and the like would stop the loop, and with it every other request.
            cause, error = error, RuntimeError(f"the application raised {error!r}")
            error.__cause__ = cause
        if self._complete and self._opened:
            if not isinstance(error, ClientDisconnected):
                _log.error("the response was complete, then closing it failed", exc_info=error)
        elif self._stream is not None:
            self._stream.fail(error)
        else:
            self._cross(self._settle, None, error)

    def _cross(self, callback: Callable[..., object], *args: object) -> bool:
        try:
            self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop has been closed, and nobody is left to be told
            return False
        return True
