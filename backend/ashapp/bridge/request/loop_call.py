# SPDX-License-Identifier: MIT
"""A call whose application runs on the loop itself, for a view that is a coroutine.

Theory of operation. The WSGI call runs in greenlets, driven by the task that the server made for the request
(see ``greenlets``). What it can't do itself it hands to that task as an errand: to send messages, and
to wait for a hand-off that runs elsewhere, on the thread of the request or as a task. No thread is held, and
where the view doesn't wait there is no other task and no watching for a disconnect either.

Requests that the server has read in one turn of the loop go through it in step: the task lets the others come
first before it runs the application, and again before it sends a complete response. So each part of the work
is done for all of them in a row, while its code is in the processor's caches; with 16 busy connections a
small view then takes a sixth less time.

The application has the context of the request, the driving task has the server's: what is sent
is sent in the server's, so that nothing of this request gets into the next one.

Cancellation. The driving task is cancelled by the server, or by the call itself (see ``WsgiCall``). The
application sees CancelledError where its coroutine waits, if its phase allows that. Once that has left the
coroutine, and wherever the phase forbids it, coroutines run as tasks of their own, which a cancellation does
not reach. One by the server that comes then is kept as the ending of the call.

A hand-off is waited for to its end, or until the ``Patience`` with it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ashapp.bridge.concurrency.context import in_request, loop_context
from ashapp.bridge.concurrency.futures import as_exception, turn
from ashapp.bridge.concurrency.greenlets.current import current_greenlet
from ashapp.bridge.concurrency.greenlets.greenlet_driver import GreenletDriver
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import DONE
from ashapp.bridge.concurrency.threads.request_thread import current_request_thread
from ashapp.bridge.concurrency.threads.thread_locals import open_request_locals
from ashapp.bridge.messages.errors import ClientDisconnected, send_timeout
from ashapp.bridge.request.async_bodies import runs_inline
from ashapp.bridge.request.handoffs import Handoff, OnRequestThread, Patience, TaskHandoff, ThreadHandoff
from ashapp.bridge.request.output_queue import pieces
from ashapp.bridge.request.phases import Ending, Phase
from ashapp.bridge.request.wsgi_call import TURN, WsgiCall
from ashapp.bridge.request.wsgi_output import log_late_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator

    from ashapp.bridge.messages.exchange import Exchange
    from ashapp.bridge.messages.types import Environ, Message, Send
    from ashapp.bridge.request.service import Service
    from ashapp.bridge.request.uploads.input_stream import InputStream

__all__ = ["Begin", "LoopCall"]

#: Returns what is to be awaited for a call in place of its application, or None where that is to be called.
Begin = Callable[["LoopCall"], Coroutine[Any, Any, None] | None]


# How often the application may wait anew when nothing comes any more.
_MOST_WAITS = 100


class LoopCall(WsgiCall, GreenletDriver):
    """The WSGI call of one request, in a greenlet on the loop."""

    place = "loop"

    # Few calls set these; see ``WsgiCall``.
    #: Flask's response object, as far as it is known: it tells how the body may be iterated.
    response: Any = None
    # By which a response that is complete is sent in one piece.
    _exchange: Exchange | None = None
    _sent_messages = 0
    #: What the application raised.
    error: BaseException | None = None
    # And what the server did.
    _refusal: Exception | None = None
    _timeout_answer: asyncio.Task[None] | None = None
    # How often the task has been cancelled: by us; by others, and the application has dealt with it. (Up to
    # Python 3.12 a task group whose task fails cancels the task that it belongs to, and leaves that.)
    _cancellations = 0
    _left_over = 0
    _on_end: Callable[[], object] | None = None
    # With what runs on its request thread, once it has been cancelled meanwhile.
    _patience: Patience | None = None

    def __init__(
        self, service: Service, environ: Environ, body: InputStream, begin: Begin | None = None
    ) -> None:
        super().__init__(service, environ, body, loop_context(service.tasks.startup_context))
        # Not the object itself: a call of its type's slot puts 750 bytes more on the stack of a greenlet.
        self.application = service.application.__call__  # type: ignore[operator]
        self._begin = begin
        # The driving task, once it waits.
        self._task: asyncio.Task[Any] | None = None
        # The head and the body of a response that is complete, and not sent yet.
        self._final: tuple[Message, bytes] | None = None
        #: The request thread of the request, chosen at first use.
        self.thread = service.thread_type(service.request_threads, is_nested=in_request.get())

    # -- the driving task

    def begin(self, exchange: Exchange) -> bool:
        """Take note of *exchange*, which has been begun in step with others; see ``WsgiCall``."""
        self._exchange = exchange
        return False

    def respond(self, send: Send) -> Awaitable[None]:
        """Run the application and send its response; see ``WsgiCall``."""
        self._send_to_client = send
        return self.drive(self.context)

    def make_coroutine(self) -> Coroutine[Any, Any, None]:
        """Return what makes the response, raising nothing; see ``GreenletDriver``."""
        dispatched = None if self._begin is None else self._begin(self)
        return self._run() if dispatched is None else dispatched

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call *callback* when the application has done with the request, now or later; see ``WsgiCall``."""
        if self.phase is Phase.ENDED:
            callback()
        else:
            self._on_end = callback

    def prepare_to_begin(self) -> Awaitable[None] | None:
        """Let other requests come first, if that has not been done; see ``GreenletDriver``."""
        return turn() if self._exchange is None else None

    @property
    def call(self) -> WsgiCall:
        """This call; see ``Driver``."""
        return self

    def prepare_to_wait(self) -> Coroutine[Any, Any, None] | None:
        """Send the response if it is complete, else look after the client; see ``GreenletDriver``."""
        if self._final:
            return self.finish()
        if self._task is None:
            self._task = asyncio.current_task()
            if not self._response.complete:  # what takes its time after that is no concern of the client's
                self._watch_later()
                self._set_deadline()
        return None

    def fail(self, error: BaseException) -> Any:
        """Raise *error* where the application waits; see ``GreenletDriver``."""
        if self._patience is not None and self._patience.is_over:
            raise error  # and leave the greenlet as it is: what it waits for has its context
        item = super().fail(error)
        if isinstance(error, asyncio.CancelledError) and item is not DONE and self.phase.may_be_cancelled:
            self._left_over = self._cancelling() - self._cancellations
        return item

    def _unwind(self) -> None:
        """Take the greenlet of a call that has been given up to its end: its context is free by now.

        Nothing that it waits for comes any more. Else it would be kept, or be for the garbage collector.
        """
        for _ in range(_MOST_WAITS):
            item = super().fail(asyncio.CancelledError())
            if item is DONE:
                break
            if type(item) is CoroutineType:
                item.close()
        self.error = None  # which leads to all that it has left

    async def finish(self) -> None:
        """Send the response that is complete: what comes after it may be slow; see ``GreenletDriver``."""
        final, self._final = self._final, None
        try:
            if final is not None:
                await turn()
                if not self._answers(self._exchange, *final):
                    await self._send_final(*final)
            if self._timeout_answer is not None:
                await self._timeout_answer
        except OSError:
            return  # the client has gone (ASGI 2.4)
        except Exception as error:
            if await self._must_be_told(self._send_to_client):
                self._refusal = error
        except asyncio.CancelledError:
            self._ending = Ending.CANCELLED  # told when the application has done with the request

    async def _send_final(self, head: Message, body: bytes) -> None:
        await self._send_to_client(head)
        for piece in pieces(_body(body, more=False)):
            await self._send_to_client(piece)

    async def _send_message(self, message: Message) -> None:
        for piece in pieces(message):
            await self._send_to_client(piece)
        await self._take_turns()

    async def _take_turns(self) -> None:
        self._sent_messages += 1
        if self._sent_messages % TURN == 0:
            await asyncio.sleep(0)

    async def _await_handoff(self, handoff: Handoff) -> None:
        preparation = self.prepare_to_wait()
        if preparation is not None:
            await preparation
        is_shielded = not self.phase.may_be_cancelled
        handoff.start(self)
        cancelled: asyncio.CancelledError | None = None
        while not handoff.done:
            try:
                await handoff.wait(self.loop)
            except asyncio.CancelledError as error:
                patience = self._patience = self._patience or Patience(self)
                if patience.is_over:
                    handoff.on_late_end = self._unwind
                    raise
                patience.interruptions += 1
                if is_shielded:
                    self._ending = Ending.CANCELLED
                elif handoff.withdraw():
                    raise
                if is_shielded or cancelled or not self._interrupted:
                    patience.limit(handoff)
                cancelled = error
        if cancelled is not None and not is_shielded:
            raise cancelled

    def _expire(self) -> None:
        if not self._response.sealed:  # the time is for the response to begin: a stream may take any time
            # At once, in a task of its own: who knows when the application lets itself be cancelled.
            answer = send_timeout(self._send_to_client, self.service.request_timeout)
            self._timeout_answer = self.loop.create_task(answer)
            self._give_up(Ending.TIMED_OUT)

    def _cancel(self) -> bool:
        if self._task is None:
            return False
        if current_greenlet() is not None:  # where it runs, it may end by itself
            self.loop.call_soon(self._interrupt)
            return False
        if not self._task.cancel():
            return False
        self._cancellations += 1
        return True

    def release(self) -> None:
        """End what waits or watches for the request; see ``GreenletDriver``."""
        self._task, task = None, self._task
        self._stop_timers()
        if self._patience is not None:
            self._patience.stop()
        self.thread.end()
        self.body.stop()
        if task is not None:
            for _ in range(self._cancellations):
                task.uncancel()
        self.phase = Phase.ENDED
        on_end, self._on_end = self._on_end, None  # which leads to the call
        if on_end is not None:
            on_end()

    def conclude(self) -> None:
        """Raise what the server must know of; see ``GreenletDriver``."""
        self.result()
        error, self.error = self.error, None
        if self._ending is Ending.CANCELLED:
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
        if self._response.complete or self._ending is Ending.TIMED_OUT:
            log_late_failure(error)
        else:
            raise error

    @staticmethod
    def _cancelling() -> int:
        task = asyncio.current_task()
        return 0 if task is None else task.cancelling()

    # -- in the greenlet

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], *, in_task: bool = False) -> Any:
        """Run *coroutine*, shielded if the phase is; see ``Driver``."""
        if not (in_task or self.phase.may_be_cancelled):
            return self._do(TaskHandoff(coroutine))
        try:
            return self.greenlet.wait_for(coroutine)
        except BaseException as error:
            self.look_at(error)
            raise

    def run_on_request_thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run *function* on the thread of the request; see ``Driver``."""
        return self._do(ThreadHandoff(self.thread, function, args, kwargs))

    def _do(self, handoff: Handoff) -> Any:
        self._ask(self._await_handoff(handoff))
        return handoff.result()

    def _ask(self, errand: Coroutine[Any, Any, None]) -> None:
        try:
            self.greenlet.ask(errand)
        except BaseException as error:
            self.look_at(error)
            raise

    def look_at(self, error: BaseException) -> None:
        """Take note of *error*, with which the greenlet goes on."""
        # A coroutine that is being stepped may do as it likes with its cancellation. Flask passes it on.
        if not (isinstance(error, Exception) or self.greenlet.depth):
            self.phase = Phase.UNWINDING

    def enter(self) -> None:
        """Let what belongs to the request be found in the current context, which is that of the request."""
        current_request_thread.set(self.thread)
        self.thread.values = open_request_locals()

    async def _run(self) -> None:
        try:
            self.enter()
            self.send_all(self.application(self.environ, self.start_response))
        except BaseException as error:
            self.error = error

    def note_response(self, response: Any) -> None:
        """Take note of what tells how the body may be iterated; see ``WsgiCall``."""
        if not self._response.started:  # else it is that of a request which is made in the course of this one
            self.response = response

    def _adopt(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        pull, close = runs_inline(iterable, self.response)
        if pull and close:
            self.thread.release()  # a stream may last for hours
        return iterable if pull and close else OnRequestThread(iterable, self, pull_inline=pull)

    def _run_out(self, chunks: Iterator[bytes]) -> None:
        if isinstance(getattr(self.response, "response", None), list | tuple):
            return
        final, self._final = self._final, None
        if final is not None:
            with suppress(OSError):  # the client has gone (ASGI 2.4)
                self._ask(self._send_final(*final))
        super()._run_out(self._in_turns(chunks))

    def _in_turns(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self._ask(self._take_turns())

    def _open(self, head: Message, chunk: bytes) -> None:
        if self._response.complete:
            # Sent by the driving task, which does so when the application is done, or waits.
            self._final = (head, chunk)
            return
        if self.body.share is not None:
            self.body.share.settle()
        self._tell(head)
        self._task = asyncio.current_task()
        self.body.watch(self._disconnect)
        self._check_wanted()
        self._tell(_body(chunk, more=True))

    def _continue(self, chunk: bytes) -> None:
        self._tell(_body(chunk, more=not self._response.complete))

    def _tell(self, message: Message) -> None:
        try:
            self._ask(self._send_message(message))
        except OSError as error:  # ASGI 2.4
            raise ClientDisconnected("the client went away while the response was sent") from error


def _body(chunk: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}
