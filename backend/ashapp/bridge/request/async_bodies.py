# SPDX-License-Identifier: MIT
"""Response bodies that are async iterables, as iterables of a WSGI response.

Theory of operation. Each item is awaited where the response is iterated. In a greenlet of the loop this
suspends the greenlet. A thread orders the item from a task of the body on a loop (``BodyTask``), and waits.
That one task makes all items. So an async generator may hold objects that belong to a task (a cancel scope, a
task group) across its ``yield``. The task runs in a greenlet, with the ``Context`` of the request whose
thread orders, else with a copy of the thread's.

With Flask's test client, and under another WSGI server, the thread serves no request of the bridge, and knows
no loop; it may even be the thread of a running loop. There a body has a loop of its own, on a thread of its
own, until its end.
"""

import asyncio
import time
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from inspect import isasyncgen
from types import FunctionType
from typing import Any, NamedTuple, Self

from greenlet import getcurrent
from werkzeug.wrappers import Response

from ashapp.bridge.concurrency.futures import await_into
from ashapp.bridge.concurrency.greenlets.current import current_call, current_greenlet
from ashapp.bridge.concurrency.greenlets.greenlet_task import run_in_greenlet
from ashapp.bridge.concurrency.own_loop import OwnLoop
from ashapp.bridge.concurrency.threads.executors import WaitingThread
from ashapp.bridge.messages.errors import BodyOverdue
from ashapp.bridge.request.wsgi_output import RUN_OUT_SECONDS

__all__ = ["AsyncBody", "BodyTask", "Step", "runs_inline", "within_context"]

#: Makes the next item of a body, or closes it.
Step = Callable[[], Coroutine[Any, Any, Any]]

# Seconds for tasks that a body leaves on a loop of its own.
_GRACE = 1.0


def within_context(value: Any) -> AsyncIterable[Any] | None:
    """Return the async iterable inside *value*, if ``flask.stream_with_context`` has made it, or None.

    Flask takes an async iterable for a function, and returns a decorated function with it as ``__wrapped__``.
    """
    wrapped = vars(value).get("__wrapped__") if type(value) is FunctionType else None
    return wrapped if isinstance(wrapped, AsyncIterable) else None


class AsyncBody:
    """An async iterable as an iterator, for a WSGI response."""

    _has_begun = _is_closed = False
    _task: "BodyTask | None" = None
    # When the time for code after the last item is up, if the response is complete.
    _run_out_end: float | None = None

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._iterator = aiter(iterable)
        call = current_call()
        if call is not None:
            call.coroutine_loop()  # chosen now: when the items are awaited, the context may be gone

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self._has_begun = True
        try:
            return self._run(partial(_next_item, self._iterator, self._seconds_left()))
        except StopAsyncIteration:
            self.close()
            raise StopIteration from None
        except Exception:
            if self._task is not None:
                self.close()
            raise

    def close(self) -> None:
        """Close the async generator, so that its ``finally`` runs now."""
        is_closed, self._is_closed = self._is_closed, True
        nothing_has_run = not self._has_begun and isasyncgen(self._iterator)
        if not (is_closed or nothing_has_run):
            self._run(partial(_close, self._iterator), closes=True)

    def _run(self, step: Step, *, closes: bool = False) -> Any:
        greenlet = current_greenlet()
        if greenlet is not None:
            coroutine = step() if self._task is None else self._task.run_here(step, closes=closes)
            return greenlet.driver.run_coroutine(coroutine, in_task=True)
        if self._task is None:
            self._task = BodyTask(self._iterator)
            if self._task.own_loop is not None:
                # The task does not hold this object, which may be dropped without being closed.
                weakref.finalize(self, self._task.abandon).atexit = False
        return self._task.run(step, closes=closes)

    def _seconds_left(self) -> float | None:
        """Return how long the next item may take; None for any time, as long as the client waits for it."""
        call = current_call()
        if call is None or not call.is_complete:
            return None
        if self._run_out_end is None:
            self._run_out_end = time.monotonic() + RUN_OUT_SECONDS
        return max(self._run_out_end - time.monotonic(), 0)


async def _next_item(iterator: AsyncIterator[Any], seconds: float | None) -> Any:
    if seconds is None:
        return await anext(iterator)
    try:
        async with asyncio.timeout(seconds) as limit:
            return await anext(iterator)
    except TimeoutError as error:
        raise (BodyOverdue() if limit.expired() else error) from None


async def _close(iterator: AsyncIterator[Any]) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


class BodyTask:
    """The task that makes the items of *iterator*, for the request of the thread that begins it.

    The call of that request can cancel it: that cancels the present item, or the next one. The closing of the
    iterator must not be interrupted.
    """

    #: The loop of the task, where no request is served; it is left when the task has ended.
    own_loop: OwnLoop | None = None

    def __init__(self, iterator: AsyncIterator[Any]) -> None:
        self._iterator = iterator
        self._call = call = current_call()
        if call is None:
            self.own_loop = OwnLoop(_GRACE)
            self._loop = self.own_loop.loop
        else:
            self._loop = call.coroutine_loop()
        # An application may have entered a context of its own. It is in use, so a copy is taken.
        own = None if call is None else call.context
        self._context = own if own is not None and getcurrent().gr_context is own else copy_context()
        self._task: asyncio.Task[None] | None = None
        self._orders: asyncio.Queue[_Order] = asyncio.Queue()
        self._current: _Order | None = None
        self._is_cancelled = False

    def run(self, step: Step, *, closes: bool) -> Any:
        """Run *step* in the task and return its result; it *closes* the iterator, or makes an item.

        On a thread, which waits, and meanwhile runs the functions that ``sync_to_async`` sends back.

        Raises:
            RuntimeError: its loop has been closed.
        """
        thread = WaitingThread()
        order = _Order(lambda: thread.lend_to(step()), closes, thread.result)
        self._loop.call_soon_threadsafe(self._take, order)
        return thread.wait()

    async def run_here(self, step: Step, *, closes: bool) -> Any:
        """Run *step* in the task, as ``run`` does. On the loop."""
        order = _Order(step, closes, Future())
        self._take(order)
        return await asyncio.wrap_future(order.result)

    def abandon(self) -> None:
        """Close the iterator and end the task, sooner or later. On any thread."""
        with suppress(RuntimeError):  # its loop has ended
            self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())

    # -- what the call knows of it

    def cancel(self) -> bool:
        """Cancel the item that is being made, or the next one; say whether there is any."""
        if self.done() or (self._current is not None and self._current.closes):
            return False
        self._is_cancelled = True
        if self._task is not None and self._current is not None:
            self._task.cancel()
        return True

    def done(self) -> bool:
        """Say whether it has ended."""
        return self._task is not None and self._task.done()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the task."""
        return self._loop

    # -- on the loop

    def _take(self, order: "_Order") -> None:
        if self._task is None:
            self._task = self._loop.create_task(run_in_greenlet(self._run(), self._context, self._call))
            self._task.add_done_callback(self._end)
            if self._call is not None:
                self._call.note_task(self)
        if self._task.done():
            order.drop()
        else:
            self._orders.put_nowait(order)

    def _end(self, _task: asyncio.Task[None]) -> None:
        while not self._orders.empty():
            self._orders.get_nowait().drop()
        if self.own_loop is not None:
            self.own_loop.leave()

    async def _run(self) -> None:
        is_open = True
        while is_open:
            try:
                order = self._current = await self._orders.get()
            except asyncio.CancelledError:  # between two items, as at the end of its loop
                await _close(self._iterator)
                return
            is_open = not order.closes
            if self._is_cancelled and is_open:
                order.drop()
            else:
                await await_into(order.result, order.step())
            self._current = None


class _Order(NamedTuple):
    """A *step* for a task, and the future of its result."""

    step: Step
    closes: bool
    result: Future[Any]

    def drop(self) -> None:
        """Leave it undone: the task has ended, or has been cancelled."""
        if self.closes:
            self.result.set_result(None)
        else:
            self.result.set_exception(asyncio.CancelledError())


def runs_inline(iterable: Iterable[bytes], response: Any) -> tuple[bool, bool]:
    """Say whether *iterable*, the body of *response*, may be iterated on the loop, and closed there.

    It may be iterated if all items are there, or are awaited. It may be closed if that calls no code of the
    application. Without a *response* of Werkzeug's, that is unknown.
    """
    if isinstance(iterable, (list, tuple)) and not hasattr(iterable, "close"):
        return True, True
    if not isinstance(response, Response):
        return False, False
    fields = vars(response)
    return isinstance(fields.get("response"), (list, tuple, AsyncBody)), fields.get("_on_close") == []
