# SPDX-License-Identifier: MIT
"""A call whose application runs on a worker thread.

Theory of operation. ``run`` is the whole WSGI call on one worker thread: the application, the iteration of
what it returns, and ``close()``. ``respond`` is the other half, in the task that the server made for the
request: it waits for the thread and awaits ``send``.

The two meet at ``_opening``, a future that the thread resolves once, in one crossing to the loop. In most
cases the response is complete by then (its length is known and reached, or it is a list). It goes out as one
start and one body message (or a few, if it is large), while the thread closes the iterable. The thread waits
for that only where too much waits for clients already (``behind``). Else the rest follows through a
``BodyStream``, while ``RequestBody`` watches for a client that goes away.

Sync code can't be stopped. So the client is watched while the call waits for a thread, while a body is
streamed, and while the thread waits for a coroutine, which can be cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import RequestEntityTooLarge

from ashapp.bridge.concurrency.async_to_sync import run_for
from ashapp.bridge.concurrency.context import new_context
from ashapp.bridge.concurrency.futures import as_exception, resolve
from ashapp.bridge.concurrency.own_loop import OwnLoop
from ashapp.bridge.concurrency.threads.thread_locals import open_request_locals
from ashapp.bridge.messages.errors import ClientDisconnected, RequestRejected, RequestTimeout
from ashapp.bridge.request.output_queue import HIGH_WATER, STREAM, BodyStream, pieces
from ashapp.bridge.request.phases import Ending, Phase
from ashapp.bridge.request.wsgi_call import TURN, WsgiCall
from ashapp.bridge.request.wsgi_output import log_late_failure
from ashapp.bridge.stacks import stack_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ashapp.bridge.concurrency.call import Cancellable
    from ashapp.bridge.messages.exchange import Exchange
    from ashapp.bridge.messages.types import Environ, Message, Send
    from ashapp.bridge.request.service import Service
    from ashapp.bridge.request.uploads.input_stream import InputStream

__all__ = ["ThreadCall"]

_log = logging.getLogger("ashapp.bridge")

# The head, the first bytes, and where the rest of the body comes from: None if that is all.
_Opening = tuple["Message", bytes, BodyStream | None]


class ThreadCall(WsgiCall):
    """The WSGI call of one request, on a thread of the pool of *service*."""

    place = "thread"

    # Few calls set these; see ``WsgiCall``.
    _submitted = 0.0
    _own_loop: OwnLoop | None = None
    _stream: BodyStream | None = None
    # What the thread waits for on a loop; each but the last waits for sync code that waits for the next.
    _tasks: tuple[Cancellable, ...] = ()
    # By which the response is sent as long as there is no task; what the task waits for.
    _exchange: Exchange | None = None
    _has_begun = False
    _opening: asyncio.Future[_Opening] | None = None
    # Who waits for the thread to be done with the request.
    _waiter: asyncio.Future[None] | None = None
    # What holds the thread until its response has been sent, and the bytes that wait for the client.
    _sent: threading.Lock | None = None
    _taken = 0

    def __init__(self, service: Service, environ: Environ, body: InputStream) -> None:
        super().__init__(service, environ, body, new_context(service.tasks.startup_context))
        self.phase = Phase.QUEUED
        self._thread = 0

    # -- on the loop

    def submit(self) -> None:
        """Let it run as soon as a thread is free, unless it has begun; see ``WsgiCall``."""
        if self._has_begun:
            return
        self.service.admission.check_queue()
        if self.info is not None:
            self._submitted = time.perf_counter()
        self.service.pool.submit(self.run)
        if self.service.pool.is_overfull:
            self._watch_later()

    def begin(self, exchange: Exchange) -> bool:
        """Submit it. As long as nothing has to wait on the loop, there is no task; see ``Exchange``."""
        self.submit()
        if self.deadline is not None:
            self.context.copy().run(self._set_deadline)  # for what it logs
        self._exchange, self._has_begun = exchange, True
        exchange.need_task = self._go_on
        return True

    def _go_on(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.need_task = None
            exchange.go_on(self.service.go_on(exchange, self))

    def _answer(self, opening: _Opening) -> bool:
        """Send a response that is complete, and be done with the request; say whether it could be sent."""
        head, chunk, stream = opening
        exchange = self._exchange
        if exchange is None or stream is not None or self.phase is not Phase.ENDED or self._ending:
            return False
        if not self._answers(exchange, head, chunk):
            return False
        self._exchange = exchange.need_task = None
        self._stop_timers()
        self.body.stop()
        self.service.admission.leave()
        return True

    def _until_opened(self) -> asyncio.Future[_Opening]:
        if self._opening is None:
            self._opening = self.loop.create_future()
        return self._opening

    async def respond(self, send: Send) -> None:
        """Send the response that ``run`` makes, and return when its thread is done; see ``WsgiCall``."""
        stream = None
        self._set_deadline()
        try:
            head, chunk, stream = await self._until_opened()
            try:
                await send(head)
                await self._send_body(stream, chunk, send)
            except OSError:  # the client has gone (ASGI 2.4)
                self._give_up(Ending.CLIENT_GONE)
            except Exception:
                if await self._must_be_told(send):
                    raise
            self._let_go()
            if self.phase is not Phase.ENDED:
                await self._until_ended()
            if stream is not None and stream.error is not None:
                raise stream.error
        except ClientDisconnected:
            return  # there is nobody to answer
        finally:
            self._stop_timers()
            self._withdraw()
            self._give_up(Ending.CANCELLED)

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call *callback* when the application has done with the request; see ``WsgiCall``."""
        if self.phase is Phase.ENDED:
            callback()
        else:
            self._until_ended().add_done_callback(lambda _: callback())

    def _until_ended(self) -> asyncio.Future[None]:
        waiter = self._waiter = self.loop.create_future()
        if self.phase is Phase.ENDED:  # before the thread could see that somebody waits
            resolve(waiter)
        return waiter

    def _withdraw(self) -> bool:
        """Wait for a thread no longer; say whether the call did."""
        if self.phase is Phase.QUEUED and self.service.pool.withdraw(self.run):
            self.phase = Phase.ENDED
            return True
        return False

    async def _send_body(self, stream: BodyStream | None, chunk: bytes, send: Send) -> None:
        if self.body.share is not None:
            self.body.share.settle()
        if stream is None:
            message = {"type": "http.response.body", "body": chunk, "more_body": False}
            for turn, piece in enumerate(pieces(message)):
                if turn:
                    await asyncio.sleep(0)  # to see to others, where the client is quick
                await send(piece)
            return
        self.body.watch(self._disconnect)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        turn = 0
        while (item := await stream.get()) is not None:
            chunk, more = item
            await send({"type": "http.response.body", "body": chunk, "more_body": more})
            if not more:
                return
            turn = (turn + 1) % TURN
            if turn == 0:
                await asyncio.sleep(0)

    def _disconnect(self) -> None:
        if self._withdraw():
            self._settle(None, ClientDisconnected("the client went away before a thread was free"))
        elif self._tasks or self._stream is not None:  # else there is nothing to stop
            self._give_up(Ending.CLIENT_GONE)

    def _give_up(self, ending: Ending) -> None:
        if self.phase is not Phase.ENDED:  # else there is nothing to cancel
            super()._give_up(ending)
        if self._stream is not None:
            self._stream.abandon()
        self._let_go()
        self.body.stop()

    def _let_go(self) -> None:
        """Let a thread go that waits until its response is sent, and give back the bytes that it took."""
        sent, self._sent = self._sent, None
        if sent is not None:
            sent.release()
        taken, self._taken = self._taken, 0
        if taken:
            self.service.behind.give_back(taken)

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
        if self._until_opened().done():
            return
        stack = stack_of(self._thread)
        if self.phase is Phase.QUEUED:
            where = f"it has not got one of the {self.service.pool.size} threads"
        elif self.phase is Phase.ENDED:  # so the stack may be that of another request already
            where = "it has just ended"
        else:
            where = f"its thread is here:\n{stack}"
        seconds = self.service.request_timeout
        _log.warning("%r took longer than %s s and is answered with 504; %s", str(self), seconds, where)
        self._settle(None, RequestTimeout())

    def _settle(self, opening: _Opening | None, error: Exception | None = None) -> None:
        if opening is not None and self._answer(opening):
            return
        self._go_on()
        opened = self._until_opened()
        if opened.done():  # cancelled: nobody will send what the thread makes
            self._give_up(Ending.CANCELLED)
        elif opening is not None:
            opened.set_result(opening)
        elif error is not None:
            opened.set_exception(error)

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
        if self._waiter is not None:
            self._cross(resolve, self._waiter)

    def _make_response(self) -> None:
        try:
            if not self._ending:
                self.send_all(self.application(self.environ, self.start_response))
        except BaseException as error:
            self._fail(error)

    def note_match(self, endpoint: str) -> None:
        """Begin with no thread-local values, where the view is awaited on a loop of its own.

        So what its hooks keep on this thread is seen by this request alone, as where the view is on the loop.
        """
        is_isolated = self.service.is_isolated
        if is_isolated is not None and is_isolated(endpoint):
            open_request_locals()

    def coroutine_loop(self) -> asyncio.AbstractEventLoop:
        """Return the server's loop, or that of the request; see ``WsgiCall``."""
        wants_own_loop = self.service.wants_own_loop
        if self._own_loop is None and wants_own_loop is not None and wants_own_loop():
            self._own_loop = OwnLoop(self.grace)
        return self.loop if self._own_loop is None else self._own_loop.loop

    def _open(self, head: Message, chunk: bytes) -> None:
        sent = None
        if not self._response.complete:
            self._stream = BodyStream(self.loop, self._bound())
        elif len(chunk) > HIGH_WATER and not self._take(len(chunk)):
            sent = self._sent = threading.Lock()
            sent.acquire()
        if not self._cross(self._settle, (head, chunk, self._stream)):
            if self._stream is not None:
                self._stream.abandon()
        elif sent is not None:
            sent.acquire()

    def _bound(self) -> float:
        """Return how much of the response may wait, in bytes: all of it where it is in memory already."""
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

    def disown(self, way_back: Any) -> None:
        """Belong to the process that has forked this one, also where the application fails; see ``Call``."""
        super().disown(way_back)
        self._fail = way_back.switch  # type: ignore[method-assign]

    def _fail(self, error: BaseException) -> None:
        if self._interrupted and isinstance(error, asyncio.CancelledError):
            error = ClientDisconnected("the request was cancelled")
        error = as_exception(error)
        if self._response.complete:
            log_late_failure(error)
        elif self._stream is not None:
            self._stream.fail(error)
        else:
            if isinstance(error, RequestEntityTooLarge):  # an application that knows it would have answered
                error = RequestRejected(413, "The request body is longer than this service accepts.")
            self._cross(self._settle, None, error)
