# SPDX-License-Identifier: MIT
"""A call whose application runs on a worker thread.

Theory of operation. ``run`` is the whole WSGI call on one worker thread: the call of the application, the
iteration of its response, and ``close()``. ``respond`` is the other half, in the server's task for the
request: it waits for the thread and awaits ``send``.

The two meet at ``_opening``, a future that the thread resolves once, by one call on the loop. In most cases
the response is complete by then: its length is known and reached, or it is a list. It is sent as one start
and one body message (or a few, if it is large), while the thread closes the iterable. Otherwise, or if too
many bytes wait for clients already, the body follows through a ``BodyStream``. While it is not complete,
``RequestBody`` watches whether the client goes away. If the application fails before its response begins, the
thread resolves the future when it has done with the request.

Sync code can't be stopped. So the client is watched while the call waits for a thread, while a body is
streamed, and while the thread waits for a coroutine, which can be cancelled.
"""

import asyncio
import logging
import math
import threading
import time
from contextlib import suppress
from functools import partial

from ashapp.bridge.admission.in_flight import busy
from ashapp.bridge.concurrency.call import Cancellable
from ashapp.bridge.concurrency.context import new_context
from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.concurrency.own_loop import OwnLoop
from ashapp.bridge.concurrency.serving_thread import run_for
from ashapp.bridge.concurrency.threads.thread_locals import open_request_locals
from ashapp.bridge.messages.errors import RequestTimeout
from ashapp.bridge.messages.exchange import Exchange
from ashapp.bridge.messages.types import Environ, Message, Send
from ashapp.bridge.request.output_queue import HIGH_WATER, STREAM, BodyStream
from ashapp.bridge.request.phases import Ending, Phase
from ashapp.bridge.request.service import Service
from ashapp.bridge.request.serving import serve
from ashapp.bridge.request.uploads.input_stream import InputStream
from ashapp.bridge.request.wsgi_call import WsgiCall
from ashapp.bridge.stacks import stack_of

__all__ = ["ThreadCall"]

_log = logging.getLogger("ashapp.bridge")

# The head of the response, and its body: whole, or as a stream. None if there is no response.
_Opening = tuple[Message, bytes | BodyStream] | None


class ThreadCall(WsgiCall):
    """The WSGI call of one request, on a thread of the pool of *service*."""

    place = "thread"

    # Few calls set these; see ``WsgiCall``.
    _own_loop: OwnLoop | None = None
    _stream: BodyStream | None = None
    # The tasks on a loop that the thread waits for. Each but the last waits for sync code that waits for the
    # next.
    _tasks: tuple[Cancellable, ...] = ()
    # The time when the call was submitted.
    _submitted = 0.0
    # Bytes of this response that count among those that wait for clients.
    _taken = 0

    def __init__(self, service: Service, environ: Environ, body: InputStream) -> None:
        super().__init__(service, environ, body, new_context(service.tasks.startup_context))
        self.phase = Phase.QUEUED
        self._thread = 0
        self._opening: asyncio.Future[_Opening] = self.loop.create_future()

    # -- on the loop

    def submit(self) -> None:
        """Let it run as soon as a thread is free, unless it has been submitted; see ``WsgiCall``."""
        if self._submitted:
            return
        self.service.admission.check_queue()
        self._submitted = time.perf_counter()
        try:
            self.service.pool.submit(self.run)
        except RuntimeError as error:
            raise busy(str(error)) from error
        if self.service.pool.is_overfull:
            self._watch_later()

    def begin(self, exchange: Exchange) -> bool:
        """Submit it. As long as nothing has to wait on the loop, there is no task; see ``Exchange``."""
        self.submit()
        if self.deadline is not None:
            self.context.copy().run(self._set_deadline)  # for what it logs
        self._exchange = exchange
        exchange.need_task = self._go_on
        return True

    def _go_on(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.need_task = None
            exchange.go_on(serve(self, exchange.send))

    def _settle(self, opening: _Opening) -> None:
        """Go on with the response of the thread."""
        if self._is_answered(opening):
            return
        self._go_on()
        if self._opening.done():  # cancelled: nobody will send what the thread makes
            self._give_up(Ending.CANCELLED)
        else:
            self._opening.set_result(opening)

    def _is_answered(self, opening: _Opening) -> bool:
        """Send a complete response, which ends the request; say whether it could be sent."""
        exchange = self._exchange
        if exchange is None or opening is None or self.phase is not Phase.ENDED or self._ending:
            return False
        head, body = opening
        if isinstance(body, BodyStream) or not self._answers(exchange, head, body):
            return False
        self._exchange = exchange.need_task = None
        self._stop_timers()
        self.body.stop()
        self.service.admission.leave()
        return True

    async def respond(self, send: Send) -> None:
        """Send the response that ``run`` makes, and return when its thread is done; see ``WsgiCall``."""
        self._send_to_client = send
        self._set_deadline()
        try:
            opening = await self._opening
            if opening is not None:
                await self._deliver(self._send_response(*opening))
            if self.phase is not Phase.ENDED:
                await self._until_ended()
            if self._failure is not None:
                self._raise_failure(self._failure)
        finally:
            self._stop_timers()
            self._withdraw()
            self._give_up(Ending.CANCELLED)

    async def _send_response(self, head: Message, body: bytes | BodyStream) -> None:
        if isinstance(body, bytes):
            await self._send_head(head, body)
            return
        await self._send_head(head)
        if not self._response.complete:  # else there is nothing to stop any more
            self.body.watch(self._disconnect)
        while (item := await body.get()) is not None:
            chunk, more = item
            await self._send_body(chunk, more=more)

    async def _until_ended(self) -> None:
        waiter = self.loop.create_future()
        self.when_ended(partial(resolve, waiter))
        await waiter

    def _withdraw(self) -> bool:
        """Stop the wait for a thread; say whether the call waited for one."""
        if self.phase is Phase.QUEUED and self.service.pool.withdraw(self.run):
            self.phase = Phase.ENDED
            return True
        return False

    def _disconnect(self) -> None:
        if self._withdraw():
            self._settle(None)
        elif self._tasks or self._stream is not None:  # else there is nothing to stop
            self._give_up(Ending.CLIENT_GONE)

    def _give_up(self, ending: Ending) -> None:
        if self.phase is not Phase.ENDED:  # else there is nothing to cancel
            super()._give_up(ending)
        if self._stream is not None:
            self._stream.abandon()
        if self._taken:
            self.service.behind.give_back(self._taken)
            self._taken = 0
        self.body.stop()

    def note_task(self, task: Cancellable) -> None:
        """Cancel *task* with the request; see ``WsgiCall``."""
        if task.get_loop() is self.loop:
            self._note_task(task)
        else:
            self._cross(self._note_task, task)

    def _note_task(self, task: Cancellable) -> None:
        self._tasks = (*(outer for outer in self._tasks if not outer.done()), task)
        self._interrupt()
        if self._watch_timer is None and not self._ending:
            self._watch_later()

    def _cancel(self) -> bool:
        task = next((task for task in reversed(self._tasks) if not task.done()), None)
        if task is None or task.get_loop() is self.loop:
            return task is not None and task.cancel()
        with suppress(RuntimeError):  # its loop has ended
            task.get_loop().call_soon_threadsafe(task.cancel)
            return True
        return False

    def _expire(self) -> None:
        if self._opening.done():
            return
        where = f"its thread is here:\n{stack_of(self._thread)}"
        if self.phase is Phase.ENDED:  # what it has made is on its way to the loop
            return
        if self.phase is Phase.QUEUED:
            where = f"it has not got one of the {self.service.pool.size} threads"
        seconds = self.service.request_timeout
        _log.warning("%r took longer than %s s and is answered with 504; %s", str(self), seconds, where)
        self._go_on()
        self._opening.set_exception(RequestTimeout())

    # -- on the worker thread

    def run(self) -> None:
        """Make the response: the application's whole part in this request. Raises nothing."""
        self.phase = Phase.RUNNING
        self._thread = threading.get_ident()
        if self.info is not None:
            self.info.queued = time.perf_counter() - self._submitted
        run_for(self, self.context, self._make_response)
        if self._own_loop is not None:
            self._own_loop.leave()
        self.phase = Phase.ENDED
        if not self._response.sealed:
            self._cross(self._settle, None)
        if self.on_end is not None:
            self._cross(self._tell_end)

    def _make_response(self) -> None:
        try:
            if not self._ending:
                self.send_all(self.application(self.environ, self.start_response))
        except BaseException as error:
            if not (self._interrupted and isinstance(error, asyncio.CancelledError)):
                self._fail(error)
            if self._stream is not None:
                self._stream.break_off()

    def note_match(self, endpoint: str) -> None:
        """Begin without thread-local values, if the view is awaited on a loop of its own.

        So only this request sees the values of its hooks on this thread, as with a view on the loop.
        """
        if self.service.is_isolated(endpoint):
            open_request_locals()

    def coroutine_loop(self) -> asyncio.AbstractEventLoop:
        """Return the server's loop, or that of the request; see ``WsgiCall``."""
        if self._own_loop is None and self.service.wants_own_loop():
            self._own_loop = OwnLoop(self.grace)
        return self.loop if self._own_loop is None else self._own_loop.loop

    def _open(self, head: Message, chunk: bytes) -> None:
        is_complete = self._response.complete
        if is_complete and (len(chunk) <= HIGH_WATER or self._take(len(chunk))):
            self._cross(self._settle, (head, chunk))
            return
        stream = self._stream = BodyStream(self.loop, self._bound())
        stream.put(chunk, last=is_complete)
        if not self._cross(self._settle, (head, stream)):
            stream.abandon()
        stream.wait()

    def _bound(self) -> float:
        """Return how many bytes of the response may wait: all of them if they are in memory already."""
        if self._size > HIGH_WATER and self._take(self._size):
            return math.inf
        return STREAM if self._take(STREAM) else HIGH_WATER

    def _take(self, size: int) -> bool:
        if not self.service.behind.take(size):
            return False
        self._taken = size
        return True

    def _continue(self, chunk: bytes) -> None:
        if self._stream is not None:
            self._stream.put(chunk, last=self._response.complete)
            if not self._response.complete:
                self._stream.wait()
