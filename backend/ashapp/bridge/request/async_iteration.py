# SPDX-License-Identifier: MIT
"""Async iterators that a thread iterates: each in one task of its own, from its first item to its end.

Theory of operation. The thread orders an item and waits; the task, on a loop elsewhere, makes it and
waits for the next order. So what an async generator holds across its ``yield``, and what belongs to the
task that opened it (a cancel scope, a task group), holds until the end. The task runs in a greenlet, with the
``Context`` of the request whose thread orders (see ``coroutines``), else with a copy of that of the thread.

A thread that serves no request of the bridge, but Flask's test client or another WSGI server, has no loop
to turn to. It may even be that of a running one. So there a body has a loop of its own, on a thread of its
own, until its end.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from asgiref.sync import AsyncToSync
from greenlet import getcurrent

from ashapp.bridge.concurrency.async_to_sync import ThreadExecutor
from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.concurrency.greenlet_tasks import run_in_greenlet
from ashapp.bridge.concurrency.private_loop import OwnLoop
from ashapp.bridge.messages.errors import BodyOverdue
from ashapp.bridge.request.wsgi_call import current_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextvars import Context

    from ashapp.bridge.request.wsgi_call import WsgiCall

__all__ = ["BodyTask", "aclose", "next_item", "start_body_task"]

# Seconds that tasks have which a body leaves on a loop of its own.
_GRACE = 1.0


async def next_item(iterator: AsyncIterator[Any], seconds: float | None) -> Any:
    """Return the next item of *iterator*.

    Raises:
        StopAsyncIteration: there is none.
        BodyOverdue: it took longer than *seconds*, if that is given.

    """
    if seconds is None:
        return await anext(iterator)
    try:
        async with asyncio.timeout(seconds) as limit:
            return await anext(iterator)
    except TimeoutError as error:
        raise (BodyOverdue() if limit.expired() else error) from None


async def aclose(iterator: AsyncIterator[Any]) -> None:
    """Close *iterator*, if it is an async generator or like one."""
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()


def start_body_task(iterator: AsyncIterator[Any]) -> BodyTask:
    """Return a task for *iterator*, which this thread iterates."""
    call = current_call()
    if call is None:
        own = OwnLoop(_GRACE)
        return BodyTask(iterator, own.loop, copy_context(), own_loop=own)
    # Where the application has entered a context of its own, a copy of it has to do.
    context = call.context if getcurrent().gr_context is call.context else copy_context()
    return BodyTask(iterator, call.coroutine_loop(), context, call=call)


class BodyTask:
    """The task, on *loop*, that makes the items of *iterator*; *own_loop* is left when it has ended."""

    def __init__(
        self,
        iterator: AsyncIterator[Any],
        loop: asyncio.AbstractEventLoop,
        context: Context,
        *,
        call: WsgiCall | None = None,
        own_loop: OwnLoop | None = None,
    ) -> None:
        self._iterator = iterator
        self._loop = loop
        self._context = context
        self._call = call
        self.own_loop = own_loop
        self._task: asyncio.Task[None] | None = None
        self._order: _Order | None = None
        self._wake: asyncio.Future[None] | None = None

    # -- on a thread, which waits, and meanwhile runs what is sent back by ``sync_to_async``

    def item(self, seconds: float | None) -> Any:
        """Return the next item; see ``next_item``."""
        return self._wait_for(_Order(ThreadExecutor(None), seconds=seconds))

    def close(self) -> None:
        """Close the iterator and end the task."""
        self._wait_for(_Order(ThreadExecutor(None), closes=True))

    def abandon(self) -> None:
        """Close the iterator and end the task, sooner or later. On any thread."""
        with suppress(RuntimeError):  # its loop has ended
            self._loop.call_soon_threadsafe(self._cancel)

    def _wait_for(self, order: _Order) -> Any:
        self._loop.call_soon_threadsafe(self._take, order)
        assert order.executor is not None  # noqa: S101 - given above
        order.executor.run_until_future(order.result)
        return order.result.result()

    # -- on the loop

    async def aitem(self, seconds: float | None) -> Any:
        """Return the next item, where the loop itself wants it."""
        order = _Order(None, seconds=seconds)
        self._take(order)
        return await asyncio.wrap_future(order.result)

    async def aclose(self) -> None:
        """Close the iterator and end the task, where the loop itself wants it."""
        order = _Order(None, closes=True)
        self._take(order)
        await asyncio.wrap_future(order.result)

    def _take(self, order: _Order) -> None:
        order.loop = self._loop
        if self._task is None:
            self._task = self._loop.create_task(run_in_greenlet(self._run(), self._context, self._call))
            self._task.add_done_callback(self._end)
        if self._task.done():
            order.drop()
            return
        self._order = order
        if self._call is not None and not order.closes:
            self._call.note_task(order)
        if self._wake is not None:
            resolve(self._wake)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _end(self, _task: asyncio.Task[None]) -> None:
        if self._order is not None:  # cancelled before its first step
            self._order.drop()
        if self.own_loop is not None:
            self.own_loop.leave()

    async def _run(self) -> None:
        order = await self._next()
        while order is not None and not order.closes:
            await order.carry_out(next_item(self._iterator, order.seconds))
            order = await self._next()
        if order is not None:
            await order.carry_out(aclose(self._iterator))
        else:
            await aclose(self._iterator)

    async def _next(self) -> _Order | None:
        """Return the next order, or None where the task is cancelled, as at the end of its loop."""
        if self._order is None:
            self._wake = self._loop.create_future()
            try:
                await self._wake
            except asyncio.CancelledError:
                if self._order is None:
                    return None
                self._order.is_cancelled = True
        order, self._order = self._order, None
        return order


class _Order:
    """What a task is to do, and who waits for it. To be cancelled in place of the task."""

    is_cancelled = False
    loop: asyncio.AbstractEventLoop
    _task: asyncio.Task[Any] | None = None

    def __init__(
        self, executor: ThreadExecutor | None, *, seconds: float | None = None, closes: bool = False
    ) -> None:
        self.executor = executor
        self.seconds = seconds
        self.closes = closes
        self.result: Future[Any] = Future()

    def cancel(self) -> bool:
        """Cancel the task, when it is at this."""
        if self.result.done():
            return False
        self.is_cancelled = True
        return self._task is None or self._task.cancel()

    def done(self) -> bool:
        """Say whether it is done."""
        return self.result.done()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the task."""
        return self.loop

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call *callback* when this is done."""
        self.result.add_done_callback(callback)

    async def carry_out(self, step: Any) -> None:
        # Set here, not by the waiting thread: asgiref's Local shows a value only to the thread that set it.
        outer = getattr(AsyncToSync.executors, "current", None)
        AsyncToSync.executors.current = self.executor or outer
        self._task = asyncio.current_task()
        try:
            if self.is_cancelled and not self.closes:
                step.close()
                raise asyncio.CancelledError  # noqa: TRY301 - as if the step had begun
            value = await step
        except BaseException as error:
            # SystemExit and the like too: raised here they would stop the loop, and not reach the thread.
            self.result.set_exception(error)
        else:
            self.result.set_result(value)
        finally:
            AsyncToSync.executors.current = outer

    def drop(self) -> None:
        """Take note that the task has ended: it was closed, or cancelled."""
        if self.closes:
            self.result.set_result(None)
        else:
            self.result.set_exception(asyncio.CancelledError())
