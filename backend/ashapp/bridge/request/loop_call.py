# SPDX-License-Identifier: MIT
"""A call whose application runs on the loop itself, for a view that is a coroutine.

Theory of operation. The WSGI call runs in greenlets, driven by the server's task for the request (see
``greenlets``). It hands two things to that task as errands: to send messages, and to wait for a hand-off that
runs on the thread of the request or as a task. No thread is held. If the view does not wait, there is no
other task, and the client is not watched.

Requests that the server has read in one turn of the loop run in step. A task lets the others run before it
calls the application, before it sends a complete response, and before it clears up. So each part of the work
is done for all requests in a row, while its code is in the processor's caches. Each of the three saves a
small view 4 to 12 % of its time, with 32 busy connections.

The application has the context of the request, the driving task has the server's. Messages are sent in the
server's context, so that no value of this request gets into the next one.

Cancellation. The driving task is cancelled by the server, or by the call itself (see ``WsgiCall``). The
application gets CancelledError where its coroutine waits, if its phase allows that. After the error has left
the coroutine, and in phases that forbid it, coroutines run as tasks of their own, which a cancellation does
not reach. If the server cancels then, that is kept as the ending of the call.

A hand-off is waited for to its end (see ``handoffs``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from werkzeug.wsgi import ClosingIterator

from ashapp.bridge.concurrency.context import in_request, loop_context
from ashapp.bridge.concurrency.futures import cancelling, turn
from ashapp.bridge.concurrency.greenlets.current import current_greenlet
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import DONE
from ashapp.bridge.concurrency.threads.asgiref_locals import carry_locals
from ashapp.bridge.concurrency.threads.request_thread import RequestThread, current_request_thread
from ashapp.bridge.concurrency.threads.thread_locals import are_isolated, open_request_locals
from ashapp.bridge.messages.errors import ClientDisconnected, send_timeout
from ashapp.bridge.messages.types import Environ, Message, Send
from ashapp.bridge.request.async_bodies import runs_inline
from ashapp.bridge.request.handoffs import CallOnLoop, Handoff, TaskHandoff, ThreadHandoff, wait_on
from ashapp.bridge.request.phases import Ending, Phase
from ashapp.bridge.request.service import Service
from ashapp.bridge.request.uploads.input_stream import InputStream
from ashapp.bridge.request.wsgi_call import WsgiCall

__all__ = ["Begin", "LoopCall"]

# Behind the last item of a body.
_END: Any = object()

#: Returns a coroutine to await for a call in place of its application, or None: the application is called.
Begin = Callable[["LoopCall"], Coroutine[Any, Any, None] | None]


class LoopCall(WsgiCall, CallOnLoop):
    """The WSGI call of one request, in a greenlet on the loop."""

    place = "loop"

    # Few calls set these; see ``WsgiCall``.
    #: Flask's response object, as far as it is known: it tells how the body may be iterated.
    response: Any = None
    _timeout_answer: asyncio.Task[None] | None = None
    # How often the task has been cancelled: by us; and by others, where the application has handled it. (Up
    # to Python 3.12 a task group whose task fails cancels its own task, and does not take that back.)
    _cancellations = 0
    _left_over = 0

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
        self.thread = RequestThread(
            service.request_threads, is_nested=in_request.get(), is_borrowed=service.borrows_threads
        )
        self.context.run(current_request_thread.set, self.thread)
        if are_isolated():
            self.thread.values = self.context.run(open_request_locals)

    # -- the driving task

    def respond(self, send: Send) -> Awaitable[None]:
        """Run the application and send its response; see ``WsgiCall``."""
        self._send_to_client = send
        return self.drive(self.context)

    def make_coroutine(self) -> Coroutine[Any, Any, None]:
        """Return what makes the response; see ``GreenletDriver``."""
        dispatched = None if self._begin is None else self._begin(self)
        return self._run() if dispatched is None else dispatched

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
        if self.is_given_up:
            raise error  # and leave the greenlet as it is: what it waits for has its context
        if self.greenlet is not None:  # it is sync code that waits
            self.look_at(error)
        item = super().fail(error)
        if isinstance(error, asyncio.CancelledError) and item is not DONE and self.phase.may_be_cancelled:
            self._left_over = cancelling() - self._cancellations
        return item

    async def finish(self) -> None:
        """Send the response that is complete: what comes after it may be slow; see ``GreenletDriver``."""
        final, self._final = self._final, None
        try:
            if final is not None:
                await turn()
                if self._exchange is None or not self._answers(self._exchange, *final):
                    await self._deliver(self._send_head(*final))
                await turn()
            if self._timeout_answer is not None:
                await self._deliver(self._timeout_answer)
        except asyncio.CancelledError:
            self._ending = Ending.CANCELLED  # told when the application has done with the request
        except Exception as error:
            self._failure = error

    async def _await_handoff(self, handoff: Handoff) -> None:
        preparation = self.prepare_to_wait()
        if preparation is not None:
            await preparation
        handoff.start(self)
        try:
            await handoff.wait(self.loop)
        except asyncio.CancelledError as error:
            is_shielded = not self.phase.may_be_cancelled
            if is_shielded:
                self._ending = Ending.CANCELLED
            is_own = self._interrupted and not is_shielded
            await wait_on(handoff, self, error, is_shielded=is_shielded, is_own=is_own)

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
        self.thread.end()
        self.body.stop()
        if task is not None:
            for _ in range(self._cancellations):
                task.uncancel()
        self.phase = Phase.ENDED
        self._tell_end()

    def conclude(self) -> None:
        """Raise what the server must know of; see ``GreenletDriver``."""
        try:
            self.result()
        except asyncio.CancelledError as error:
            if cancelling() > (self._left_over if self._cancellations else 0):
                self._ending = Ending.CANCELLED
            elif not self._cancellations:
                self._fail(error)
        except BaseException as error:
            self._fail(error)
        if self._ending is Ending.CANCELLED:
            raise asyncio.CancelledError
        if self._failure is not None:
            self._raise_failure(self._failure)

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
        try:
            return self._do(ThreadHandoff(self.thread, partial(function, *args, **kwargs)))
        finally:
            carry_locals()  # also where the request is cancelled meanwhile

    def _do(self, handoff: Handoff) -> Any:
        self.greenlet.ask(self._await_handoff(handoff))
        return handoff.result()

    def look_at(self, error: BaseException) -> None:
        """Take note of *error*, which is raised in the greenlet."""
        # A coroutine that is being stepped may do as it likes with its cancellation. Flask passes it on.
        if not (isinstance(error, Exception) or self.greenlet.depth):
            self.phase = Phase.UNWINDING

    async def _run(self) -> None:
        self.send_all(self.application(self.environ, self.start_response))

    def note_response(self, response: Any) -> None:
        """Take note of what tells how the body may be iterated; see ``WsgiCall``."""
        if not self._response.status:  # else it is that of a request which is made in the course of this one
            self.response = response

    def _adopt(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        is_pulled_here, is_closed_here = runs_inline(iterable, self.response)
        if is_pulled_here and is_closed_here:
            self.thread.release()  # a stream may last for hours
            return iterable
        chunks: Iterator[bytes] = chain(iterable)  # which has no ``close``
        if not is_pulled_here:
            chunks = iter(partial(self.run_on_request_thread, next, chunks, _END), _END)
        close = getattr(iterable, "close", None)
        return ClosingIterator(chunks, close and partial(self.run_on_request_thread, close))

    def _run_out(self, chunks: Iterator[bytes]) -> None:
        if self._final is not None:
            self.greenlet.ask(self.finish())
        super()._run_out(self._in_turns(chunks))

    def _in_turns(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self.greenlet.ask(asyncio.sleep(0))

    def _open(self, head: Message, chunk: bytes) -> None:
        if self._response.complete:
            # Sent by the driving task, which does so when the application is done, or waits.
            self._final = (head, chunk)
            return
        self._tell(self._send_head(head))
        self._task = asyncio.current_task()
        self.body.watch(self._disconnect)
        self._check_wanted()
        self._tell(self._send_body(chunk, more=True))

    def _continue(self, chunk: bytes) -> None:
        self._tell(self._send_body(chunk, more=not self._response.complete))

    def _tell(self, sending: Coroutine[Any, Any, None]) -> None:
        try:
            self.greenlet.ask(sending)
        except OSError as error:  # ASGI 2.4
            raise ClientDisconnected("the client went away while the response was sent") from error
