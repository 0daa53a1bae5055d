# SPDX-License-Identifier: MIT
"""A call whose application runs on a worker thread.

Theory of operation. ``run`` is the whole WSGI call on one worker thread: the application, the iteration of
what it returns, and ``close()``. ``respond`` is the other half, in the task that the server made for the
request: it waits for the thread and awaits ``send``.

The two meet at ``_opening``, a future that the thread resolves once, in one crossing to the loop. In most
cases the response is complete by then (its length is known and reached, or it is a list), and goes out as
one start and one body message (or a few, if it is large); the thread then closes the iterable while the
loop sends. It waits for that only where too much waits for clients already (``behind``). Else the rest
follows through a ``BodyStream``, while ``RequestBody`` watches for a client that goes away. Until the first
byte of a body is sent nobody watches: sync code can't be stopped, so knowing would change nothing.

A coroutine can be: one that the thread waits for on the loop (see ``coroutines``) is cancelled with the
request, if the client has gone or the time is up, and if it is the view or the body: once the response has
been started the application tears down, and is left to. A request that has been given up by then is looked
at again where the next phase begins: where a teardown ends, and before a body is iterated.

The context is made current through greenlet's ``gr_context``, not with ``Context.run``, because that marks
it as entered, and then a coroutine of the same request could not run in it on the loop while the
thread waits (see ``coroutines``).
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from threading import get_ident
from typing import TYPE_CHECKING

from greenlet import getcurrent
from werkzeug.exceptions import RequestEntityTooLarge

from ashapp.bridge.concurrency.async_to_sync import adopt_loop
from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.concurrency.greenlets import enter_call
from ashapp.bridge.concurrency.private_loop import OwnLoop, RemoteTask
from ashapp.bridge.concurrency.thread_locals import open_request_locals
from ashapp.bridge.messages.environ import expects_continue
from ashapp.bridge.messages.errors import ClientDisconnected, RequestRejected, RequestTimeout
from ashapp.bridge.request.output_queue import HIGH_WATER, PIECE, STREAM, BodyStream, pieces
from ashapp.bridge.request.request_body import HIGH_WATER as READ_HIGH_WATER
from ashapp.bridge.request.wsgi_call import WsgiCall, as_exception, log_late_failure
from ashapp.bridge.stacks import stack_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextvars import Context

    from ashapp.bridge.concurrency.call import Cancellable
    from ashapp.bridge.concurrency.thread_pool import ThreadPool
    from ashapp.bridge.messages.types import Environ, Message, Send, WsgiApplication
    from ashapp.bridge.request.output_queue import WriteBehind
    from ashapp.bridge.request.request_body import RequestBody

__all__ = ["ThreadCall"]

_log = logging.getLogger("ashapp.bridge")

# So many chunks of a stream are sent before the loop may see to others: where the client and the
# application are both quick, neither the queue nor ``send`` ever waits.
_TURN = 16

# Seconds until a request that waits for a coroutine begins to watch for its client: most are done by then.
_WATCH_DELAY = 0.2

# When the client of a request that waits for a thread is watched: most have got theirs by then.
_LOOKS = 2

# The head, the first bytes, and where the rest of the body comes from: None if that is all.
_Opening = tuple["Message", bytes, BodyStream | None]


class ThreadCall(WsgiCall):
    """The WSGI call of one request, on a thread, and the sending of its response, on the loop."""

    #: Says, on the thread, whether the request's coroutines are kept off the server's loop. None: never.
    wants_own_loop: Callable[[], bool] | None = None
    #: Says whether an endpoint's requests have thread-local values of their own. None: never.
    is_isolated: Callable[[str], bool] | None = None
    _own_loop: OwnLoop | None = None
    #: Counts what waits for clients; to be set before it is submitted.
    behind: WriteBehind
    _stream: BodyStream | None = None
    _abandoned = False
    _finished = False
    _iterating = False
    _task: Cancellable | RemoteTask | None = None
    _interrupted = False
    _timer: asyncio.TimerHandle | None = None
    _waiter: asyncio.Future[None] | None = None
    _thread: int | None = None
    _looks = 0
    _sent: threading.Lock | None = None
    _taken = 0
    _size = 0

    def __init__(  # noqa: PLR0913, PLR0917 - the request, and what serves it
        self,
        application: WsgiApplication,
        environ: Environ,
        body: RequestBody,
        loop: asyncio.AbstractEventLoop,
        startup: Context,
        pool: ThreadPool,
    ) -> None:
        super().__init__(application, environ, body, loop, startup)
        self._pool = pool
        self._opening: asyncio.Future[_Opening] = loop.create_future()
        self._submitted = 0.0

    # -- on the loop

    def submit(self) -> None:
        """Let it run as soon as a thread is free.

        Raises:
            RuntimeError: there is no thread, and none can be started.

        """
        if self.info is not None:
            self._submitted = time.perf_counter()
        self._pool.submit(self.run)

    async def respond(self, send: Send) -> None:
        """Send the response that ``run`` makes, and return when its thread is done; see ``WsgiCall``."""
        stream = None
        deadline = self.loop.call_later(self.timeout, self._expire) if self.timeout is not None else None
        try:
            head, chunk, stream = await self._opening
            try:
                await send(head)
                await self._send_body(stream, chunk, send)
            except OSError:  # the client has gone (ASGI 2.4)
                self._abandon()
            except Exception as error:
                await self._heed(error, send)
            self._let_go()
            if not self._finished:
                await self._join()
            if stream is not None and stream.error is not None:
                raise stream.error
        except ClientDisconnected:
            return  # there is nobody to answer
        finally:
            for timer in (deadline, self._timer):
                if timer is not None:
                    timer.cancel()
            if self._thread is None:
                self._withdraw()
            self._abandon()

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call *callback* when the application has done with the request; see ``WsgiCall``."""
        if not self._finished:
            waiter = self._waiter = self.loop.create_future()
            if not self._finished:
                waiter.add_done_callback(lambda _: callback())
                return
        callback()

    def note_waiting(self) -> None:
        """See whether the client still waits. Called now and then, while the call waits for a thread."""
        self._looks += 1
        # To look for a disconnect would ask for the body (see ``body``) where the client waits for that.
        if self._looks == _LOOKS and not expects_continue(self._environ):
            self.body.watch(self._leave_queue, read_ahead=READ_HIGH_WATER)

    def _leave_queue(self) -> None:
        if self._withdraw():
            self._settle(None, ClientDisconnected("the client went away before a thread was free"))

    def _withdraw(self) -> bool:
        """Wait for a thread no longer; say whether the call did."""
        if self._pool.withdraw(self.run):
            self._finished = True
        return self._finished

    async def _send_body(self, stream: BodyStream | None, chunk: bytes, send: Send) -> None:
        if self.body.share is not None:
            self.body.share.settle()
        if stream is None:
            await _send_whole(chunk, send)
        else:
            await self._send_stream(stream, chunk, send)

    async def _send_stream(self, stream: BodyStream, chunk: bytes, send: Send) -> None:
        self.body.watch(self._abandon)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        turn = 0
        while (item := await stream.get()) is not None:
            chunk, more = item
            await send({"type": "http.response.body", "body": chunk, "more_body": more})
            if not more:
                return
            turn = (turn + 1) % _TURN
            if turn == 0:
                await asyncio.sleep(0)

    async def _heed(self, error: Exception, send: Send) -> None:
        if await self._judge(error, send) is not None:
            raise error

    async def _join(self) -> None:
        self._waiter = self.loop.create_future()
        if not self._finished:
            await self._waiter

    def _abandon(self) -> None:
        self._abandoned = True
        if self._stream is not None:
            self._stream.abandon()
        self._let_go()
        self.body.stop()
        self._interrupt()

    def _let_go(self) -> None:
        """Let the thread go that waits until its response has been sent, and give back what that took."""
        if self._sent is not None:
            resolved, self._sent = self._sent, None
            resolved.release()
        taken, self._taken = self._taken, 0
        if taken:
            self.behind.give_back(taken)

    def note_task(self, task: Cancellable) -> None:
        """Cancel *task* with the request; see ``WsgiCall``."""
        if task.get_loop() is self.loop:
            self._note_task(task)
        else:
            self._cross(self._note_task, RemoteTask(task, self.loop))

    def _note_task(self, task: Cancellable | RemoteTask) -> None:
        outer, self._task = self._task, task
        if outer is not None:  # which waits for sync code that waits for *task*
            task.add_done_callback(lambda _: self._note_end(task, outer))
        if self._abandoned:
            self._interrupt()
        elif self._timer is None and not self._response.sealed:
            self._timer = self.loop.call_later(_WATCH_DELAY, self._watch)

    def _note_end(self, task: Cancellable | RemoteTask, outer: Cancellable | RemoteTask) -> None:
        if self._task is task:
            self._task = outer

    def _watch(self) -> None:
        if self._response.sealed:
            return
        if expects_continue(self._environ) and not self.body.started:
            # To look for a disconnect would ask for the body (see ``body``): later, then.
            self._timer = self.loop.call_later(_WATCH_DELAY, self._watch)
        else:
            self.body.watch(self._abandon)

    def leave_teardown(self, outer: bool) -> None:  # noqa: FBT001 - see ``WsgiCall``
        """Go back to what ``tearing_down`` was before; see ``WsgiCall``."""
        self.tearing_down = outer
        if self._abandoned:
            self._cross(self._interrupt)

    def _interrupt(self) -> None:
        may_be_cancelled = not (self.tearing_down or self._complete) and (
            self._iterating or not self._response.started
        )
        if self._task is not None and may_be_cancelled and not self._interrupted:
            self._interrupted = True  # before the task can end, on another thread
            self._interrupted = self._task.cancel()

    def _expire(self) -> None:
        if not self._opening.done():
            _log.warning("%r took longer than %s s and is answered with 504; %s", *self._whereabouts())
            self._opening.set_exception(RequestTimeout())

    def _whereabouts(self) -> tuple[str, float | None, str]:
        stack = stack_of(self._thread) if self._thread is not None else None
        if stack is None:
            where = f"it has not got one of the {self._pool.size} threads"
        elif self._finished:  # so the stack may be that of another request already
            where = "it has just ended"
        else:
            where = f"its thread is here:\n{stack}"
        return str(self), self.timeout, where

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
        self._thread = get_ident()
        # No variable holds the greenlet: a traceback would keep it longer than its thread, and then the
        # garbage collector can meet it freed (greenlet 2.0 to 3.5).
        outer_context = getcurrent().gr_context
        getcurrent().gr_context = self.context
        outer_call = enter_call(self)
        adopt_loop(self.loop)
        if self.info is not None:
            self.info.queued = time.perf_counter() - self._submitted
        try:
            if not self._abandoned:
                self._call_application()
        except BaseException as error:
            self._fail(error)
        finally:
            enter_call(outer_call)
            getcurrent().gr_context = outer_context
            if self._own_loop is not None:
                self._own_loop.leave()
            self._finished = True
            if self._waiter is not None:
                self._cross(resolve, self._waiter)

    def note_match(self, endpoint: str) -> None:
        """Begin with no thread-local values, where the view is awaited on a loop of its own.

        So what its hooks keep on this thread is seen by this request alone, as where the view is on the loop.
        """
        if self.is_isolated is not None and self.is_isolated(endpoint):
            open_request_locals()

    def coroutine_loop(self) -> asyncio.AbstractEventLoop:
        """Return the server's loop, or that of the request; see ``WsgiCall``."""
        if self._own_loop is None and self.wants_own_loop is not None and self.wants_own_loop():
            self._own_loop = OwnLoop(self.grace)
        return self.loop if self._own_loop is None else self._own_loop.loop

    def _open(self, head: Message, chunk: bytes) -> None:
        sent = None
        if not self._complete:
            self._stream = BodyStream(self.loop, self._bound())
        elif len(chunk) > PIECE and not self._take(len(chunk)):
            sent = self._sent = threading.Lock()
            sent.acquire()
        self._opened = True
        if not self._cross(self._settle, (head, chunk, self._stream)):
            if self._stream is not None:
                self._stream.abandon()
        elif sent is not None:
            sent.acquire()

    def _bound(self) -> float:
        """Return how much of the response may wait, in bytes: all of it where it is in memory already."""
        if self._size > PIECE and self._take(self._size):
            return math.inf
        return STREAM if self._take(STREAM) else HIGH_WATER

    def _take(self, size: int) -> bool:
        if not self.behind.take(size):
            return False
        self._taken = size
        return True

    def _continue(self, chunk: bytes) -> None:
        if self._stream is not None:
            self._stream.put(chunk, last=self._complete)

    def _check_client(self) -> None:
        if self._stream is not None:
            self._stream.check()

    def _receive_iterable(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        self._iterating = True
        self._interrupted = False
        if isinstance(iterable, list | tuple):
            self._size = sum(map(len, iterable))
        return iterable

    def _check_wanted(self) -> None:
        if self._abandoned:
            raise ClientDisconnected("nobody wants the response any more")

    def _fail(self, error: BaseException) -> None:
        if self._interrupted and isinstance(error, asyncio.CancelledError):
            error = ClientDisconnected("the request was cancelled")
        error = as_exception(error)
        if self._complete and self._opened:
            log_late_failure(error)
        elif self._stream is not None:
            self._stream.fail(error)
        else:
            if isinstance(error, RequestEntityTooLarge):  # an application that knows it would have answered
                error = RequestRejected(413, "The request body is longer than this service accepts.")
            self._cross(self._settle, None, error)

    def _cross(self, callback: Callable[..., object], *args: object) -> bool:
        try:
            self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop has been closed, and nobody is left to be told
            return False
        return True


async def _send_whole(body: bytes, send: Send) -> None:
    for turn, message in enumerate(pieces({"type": "http.response.body", "body": body, "more_body": False})):
        if turn:
            await asyncio.sleep(0)  # to see to others, where the client is quick
        await send(message)
