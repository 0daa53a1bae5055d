# SPDX-License-Identifier: MIT
"""A call whose application runs on the loop itself, for a view that is a coroutine.

Theory of operation. The WSGI call runs in a greenlet, driven by the task that the server made for the
request (see ``greenlets``). What it can't do itself it hands to that task as an errand: to send messages, and
to wait for a hand-off that runs elsewhere, on the thread of the request or as a task. No thread is held, and
where the view doesn't wait there is no other task and no watching for a disconnect either.

Requests that the server has read in one turn of the loop go through it in step: the task lets the others come
first before it runs the application, and again before it sends a complete response. So each part of the work
is done for all of them in a row, while its code is in the processor's caches; with 16 busy connections a
small view then takes a sixth less time.

The application has the context of the request, the driving task has the server's: what is sent
is sent in the server's, so that nothing of this request gets into the next one.

Cancellation. The task is cancelled by the server, or by us when the client has gone or the time is up
(``_give_notice``). The application sees CancelledError where its coroutine waits, as long as it
``may_be_cancelled``: until its response has started, and again while a body is iterated. In between, and
once a CancelledError has left its coroutine, it tears down: from then on its coroutines run as tasks of their
own, which a cancellation does not reach. One that comes then is kept (``_unwanted``), and acted on where the
next phase begins in which the application may be cancelled: when it leaves the teardown of a context of its
own, and before its body is iterated.

A hand-off is waited for to its end, because two threads may not use one context. Only when the server has
cancelled the task, and a request thread is stuck for longer than ``grace``, is the greenlet given up, so that
the server can stop. A cancellation may as well be a time-out of the application's own, which has to wait for
its request thread. So nothing is given up while the server is known not to stop, nor, where that is not
known, at the first cancellation of a coroutine.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ashapp.bridge.concurrency.context import in_request
from ashapp.bridge.concurrency.greenlets import DONE, Driver, current_greenlet
from ashapp.bridge.concurrency.request_threads import Lease, current_lease
from ashapp.bridge.concurrency.sync_to_async import loop_context
from ashapp.bridge.concurrency.thread_locals import open_request_locals
from ashapp.bridge.messages.environ import expects_continue
from ashapp.bridge.messages.errors import ClientDisconnected
from ashapp.bridge.messages.problems import send_timeout
from ashapp.bridge.request.async_bodies import runs_inline
from ashapp.bridge.request.handoffs import Handoff, TaskHandoff, ThreadHandoff
from ashapp.bridge.request.output_queue import pieces
from ashapp.bridge.request.wsgi_call import WsgiCall, as_exception, log_late_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from contextvars import Context

    from ashapp.bridge.concurrency.request_threads import RequestThreads
    from ashapp.bridge.messages.types import Environ, Message, Send, WsgiApplication
    from ashapp.bridge.request.request_body import RequestBody

__all__ = ["LoopCall"]

_log = logging.getLogger("ashapp.bridge")

# Seconds until a request that waits begins to watch for its client: most are done by then.
_WATCH_DELAY = 0.2

# So many messages are sent before the loop may see to others: where the client and the application are both
# quick, nothing ever waits.
_TURN = 16

_END = object()


class LoopCall(WsgiCall, Driver):
    """The WSGI call of one request, in a greenlet on the loop."""

    make_context = staticmethod(loop_context)
    place = "loop"
    #: Flask's response object, as far as it is known: it tells how the body may be iterated.
    response: Any = None
    _send_to_client: Send
    _task: asyncio.Task[Any] | None
    _error: BaseException | None = None
    _timer: asyncio.TimerHandle | None
    _deadline: asyncio.TimerHandle | None = None
    _limiter: asyncio.TimerHandle | None = None
    _timeout_answer: asyncio.Task[None] | None = None
    _final: tuple[Message, ...] = ()
    _refusal: Exception | None = None
    _iterating = False
    _gone = False
    # Whether nobody wants the response any more.
    _unwanted = False
    # Whether it has been cancelled for that since it last may be, and how often in all.
    _cancelled = False
    _cancellations = 0
    # How many others the application has dealt with. (Up to Python 3.12 a task group whose task fails
    # cancels the task that it belongs to, and leaves that.)
    _left_over = 0
    _cancelled_outside = False
    # How often it has been cancelled while it waited for a hand-off.
    _interruptions = 0
    _unwinding = False
    _given_up = False
    _sent_messages = 0

    def __init__(  # noqa: PLR0913, PLR0917 - the request, and what serves it
        self,
        application: WsgiApplication,
        environ: Environ,
        body: RequestBody,
        loop: asyncio.AbstractEventLoop,
        startup: Context,
        request_threads: RequestThreads,
    ) -> None:
        super().__init__(application, environ, body, loop, startup)
        self._lease = Lease(request_threads, is_nested=in_request.get())
        # Here, not when the request begins to wait: an attribute that most instances never get is not in the
        # layout that they share, and then costs each that gets it a dict of its own, 770 bytes.
        self._waited = False
        self._task = None
        self._timer = None

    # -- the driving task

    async def respond(self, send: Send) -> None:
        """Run the application and send its response; see ``WsgiCall``."""
        self._send_to_client = send
        try:
            await asyncio.sleep(0)
            await self.drive(self.run_application, self.context)
            await self._finish()
        finally:
            self._release()
        self._conclude()

    @property
    def call(self) -> WsgiCall:
        """This call; see ``Driver``."""
        return self

    def prepare_to_wait(self) -> Coroutine[Any, Any, None] | None:
        """Send the response if it is complete, else look after the client; see ``Driver``."""
        if self._final:
            return self._finish()
        if not self._waited:
            self._begin_to_wait()
        return None

    def fail(self, error: BaseException) -> Any:
        """Raise *error* where the application waits; see ``Driver``."""
        if self._given_up:
            raise error  # and leave the greenlet as it is: what it waits for has its context
        item = super().fail(error)
        if isinstance(error, asyncio.CancelledError) and item is not DONE and self.may_be_cancelled:
            self._left_over = self._cancelling() - self._cancellations
        return item

    async def _finish(self) -> None:
        """Send the response that is complete. What comes after it may take its time."""
        messages, self._final = self._final, ()
        try:
            if messages:
                await asyncio.sleep(0)
            for message in messages:
                for piece in pieces(message):
                    await self._send_to_client(piece)
            if self._timeout_answer is not None:
                await self._timeout_answer
        except OSError:  # the client has gone (ASGI 2.4)
            self._gone = True
        except Exception as error:
            self._refusal = await self._judge(error, self._send_to_client)
        except asyncio.CancelledError:
            self._cancelled_outside = True  # told when the application has done with the request

    async def _send_messages(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            await self._send_to_client(message)
        self._sent_messages += 1
        if self._sent_messages % _TURN == 0:
            await asyncio.sleep(0)

    async def _await_handoff(self, handoff: Handoff) -> None:
        preparation = self.prepare_to_wait()
        if preparation is not None:
            await preparation
        tearing_down = not self.may_be_cancelled
        handoff.start(self)
        cancelled: asyncio.CancelledError | None = None
        while not handoff.done:
            try:
                await handoff.wait(self.loop)
            except asyncio.CancelledError as error:
                if self._given_up:
                    raise
                self._interruptions += 1
                if tearing_down:
                    self._cancelled_outside = self._unwanted = True
                elif handoff.withdraw():
                    raise
                if tearing_down or cancelled or not self._cancelled:
                    self._limit(handoff)
                cancelled = error
        if cancelled is not None and not tearing_down:
            raise cancelled

    def _limit(self, handoff: Handoff) -> None:
        if self._limiter is None and isinstance(handoff, ThreadHandoff):
            self._limiter = self.loop.call_later(self.grace, self._give_up, handoff)

    def _give_up(self, handoff: Handoff) -> None:
        if handoff.done:
            self._limiter = None
        elif self._may_be_its_own():
            self._limiter = self.loop.call_later(self.grace, self._give_up, handoff)
        else:
            _log.error(
                "%s was cancelled, but %s has not returned for %s s: given up", self, handoff, self.grace
            )
            self._given_up = True
            handoff.leave()

    def _may_be_its_own(self) -> bool:
        """Say whether the cancellation may be the application's own, or of a server that goes on."""
        stopping = self._lease.is_stopping
        return not stopping and (stopping is False or (self.greenlet.depth > 0 and self._interruptions < 2))

    def _begin_to_wait(self) -> None:
        self._waited = True
        self._task = asyncio.current_task()
        if self._complete:
            return  # what takes its time is no concern of the client's
        self._timer = self.loop.call_later(_WATCH_DELAY, self._watch)
        if self.timeout is not None:
            self._deadline = self.loop.call_later(self.timeout, self._expire)

    def _watch(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if expects_continue(self._environ) and not (self._opened or self.body.started):
            # To look for a disconnect would ask for the body (see ``body``): later, then.
            self._timer = self.loop.call_later(_WATCH_DELAY, self._watch)
        else:
            self.body.watch(self._disconnect)

    def _disconnect(self) -> None:
        self._gone = True
        self._give_notice()

    def _expire(self) -> None:
        if self._response.sealed:
            return  # the time is for the response to begin; a stream may take as long as it likes
        # At once, in a task of its own: who knows when the application lets itself be cancelled.
        self._timeout_answer = self.loop.create_task(send_timeout(self._send_to_client, self.timeout))
        self._opened = self._complete = True
        self._give_notice()

    def _give_notice(self) -> None:
        """Cancel the application where it waits, now or as soon as it may be."""
        self._unwanted = True
        if self._cancelled or self._task is None or not self.may_be_cancelled:
            return
        if current_greenlet() is not None:  # where it runs, it may end by itself
            self.loop.call_soon(self._give_notice)
        elif self._task.cancel():
            self._cancelled = True
            self._cancellations += 1

    def _release(self) -> None:
        self._task, task = None, self._task
        for timer in (self._timer, self._deadline, self._limiter):
            if timer is not None:
                timer.cancel()
        self._lease.end()
        self.body.stop()
        if task is not None:
            for _ in range(self._cancellations):
                task.uncancel()

    def _conclude(self) -> None:
        """Raise what the server must know of."""
        error, self._error = self._error, None
        if self._cancelled_outside:
            raise asyncio.CancelledError
        if self._refusal is not None:
            raise self._refusal
        if error is None or isinstance(error, ClientDisconnected):
            return
        if isinstance(error, asyncio.CancelledError):
            if self._cancelling() > (self._left_over if self._cancellations else 0):
                raise error
            if self._cancellations:
                return
        error = as_exception(error)
        if self._complete and self._opened:
            log_late_failure(error)
        else:
            raise error

    @staticmethod
    def _cancelling() -> int:
        task = asyncio.current_task()
        return 0 if task is None else task.cancelling()

    # -- in the greenlet

    @property
    def may_be_cancelled(self) -> bool:
        """Whether the application may be interrupted where it waits now."""
        if self.tearing_down or self._unwinding:
            return False
        return self._iterating or not self._response.started

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], *, in_task: bool = False) -> Any:
        """Run *coroutine* to its end, in the greenlet that calls, and return its result.

        It is cancelled with the task that drives the greenlet if it may be, or must run *in_task*. Else it
        runs in a task of its own.
        """
        if not (in_task or self.may_be_cancelled):
            return self._do(TaskHandoff(coroutine))
        try:
            return self.greenlet.wait_for(coroutine)
        except BaseException as error:
            self._look_at(error)
            raise

    def run_on_request_thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the sync *function* on the thread of the request, and return its result."""
        return self._do(ThreadHandoff(function, args, kwargs))

    def request_thread(self) -> Lease:
        """Return the request thread of the request, chosen at first use."""
        return self._lease

    def _do(self, handoff: Handoff) -> Any:
        self._ask(self._await_handoff(handoff))
        return handoff.result()

    def _ask(self, errand: Coroutine[Any, Any, None]) -> None:
        try:
            self.greenlet.ask(errand)
        except BaseException as error:
            self._look_at(error)
            raise

    def _look_at(self, error: BaseException) -> None:
        # A coroutine that is being stepped may do as it likes with its cancellation. Flask passes it on.
        if not (isinstance(error, Exception) or self.greenlet.depth):
            self._unwinding = True

    def run_application(self) -> None:
        """Make the response: the application's whole part in this request. Raises nothing."""
        current_lease.set(self._lease)
        open_request_locals()
        try:
            self._call_application()
        except BaseException as error:
            self._error = error

    def note_response(self, response: Any) -> None:
        """Take note of what tells how the body may be iterated; see ``WsgiCall``."""
        if not self._response.started:  # else it is that of a request which is made in the course of this one
            self.response = response

    def leave_teardown(self, outer: bool) -> None:  # noqa: FBT001 - see ``WsgiCall``
        """Go back to what ``tearing_down`` was before; see ``WsgiCall``."""
        self.tearing_down = outer
        if self._unwanted:  # told on the loop: this may be the thread of the request
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._give_notice)

    def _check_wanted(self) -> None:
        if self._unwanted:
            raise ClientDisconnected("nobody wants the response any more")

    def _receive_iterable(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        self._iterating = True
        self._unwinding = self._cancelled = False
        pull, close = runs_inline(iterable, self.response)
        return iterable if pull and close else _OnRequestThread(iterable, self, pull_inline=pull)

    def _run_out(self, chunks: Iterator[bytes]) -> None:
        body = getattr(self.response, "response", None)
        if self._timeout_answer is not None or isinstance(body, list | tuple):
            return
        messages, self._final = self._final, ()
        if messages:
            try:
                self._ask(self._send_messages(messages))
            except OSError:  # the client has gone (ASGI 2.4)
                self._gone = True
        super()._run_out(self._in_turns(chunks))

    def _in_turns(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self._ask(self._send_messages(()))

    def _open(self, head: Message, chunk: bytes) -> None:
        if self._complete:
            # Sent by the driving task, which does so when the application is done, or waits.
            self._check_client()
            self._final = (head, _body(chunk, more=False))
            self._opened, self._iterating = True, False
        else:
            if self.body.share is not None:
                self.body.share.settle()
            self._tell(head)
            self._opened = True
            self._task = asyncio.current_task()
            self._watch()
            self._tell(_body(chunk, more=True))

    def _continue(self, chunk: bytes) -> None:
        self._tell(_body(chunk, more=not self._complete))
        if self._complete:
            self._iterating = False

    def _check_client(self) -> None:
        if self._gone:
            raise ClientDisconnected("the client went away while the response was sent")

    def _tell(self, *messages: Message) -> None:
        self._check_client()
        try:
            self._ask(self._send_messages(messages))
        except OSError as error:  # ASGI 2.4
            raise ClientDisconnected("the client went away while the response was sent") from error


def _body(chunk: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


class _OnRequestThread:
    """An iterable whose items are made, and which is closed, on the thread of the request."""

    def __init__(self, iterable: Iterable[bytes], call: LoopCall, *, pull_inline: bool) -> None:
        self._iterable = iterable
        self._call = call
        self._pull_inline = pull_inline
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> _OnRequestThread:
        return self

    def __next__(self) -> bytes:
        chunk = self._pull() if self._pull_inline else self._call.run_on_request_thread(self._pull)
        if chunk is _END:
            raise StopIteration
        return chunk  # type: ignore[no-any-return]

    def _pull(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._iterable)
        return next(self._iterator, _END)

    def close(self) -> None:
        close = getattr(self._iterable, "close", None)
        if close is not None:
            self._call.run_on_request_thread(close)
