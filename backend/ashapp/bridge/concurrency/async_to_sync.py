# SPDX-License-Identifier: MIT
"""Coroutines that are reached from the sync code of a request: run on the server's loop.

Theory of operation. A thread that serves a request reaches a coroutine: an ``async def`` view, hook or signal
receiver, or the bare coroutine that a decorator returned. It hands it to the loop and waits. There the
coroutine runs in a task and a greenlet of its own, so that sync code which it calls may wait in turn.

The greenlet has the *same* ``Context`` object as the thread, not a copy: what the coroutine sets the thread
sees afterwards, and a token made on one side can be reset on the other. That is sound because the thread,
which has that context current, sleeps meanwhile. It wakes up to run what the coroutine sends back with
``sync_to_async``, so that a database handle, say, stays on the request's thread (``WaitingThread``).

Code that calls asgiref's own ``async_to_sync``, past Flask, is led to the same loop by the thread-local that
asgiref reads for it, and into a greenlet; it runs in a copy of the context, as anywhere else.
"""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import AsyncToSync, SyncToAsync
from greenlet import getcurrent

from ashapp.bridge.concurrency.context import TEMPLATE
from ashapp.bridge.concurrency.futures import as_coroutine, await_into
from ashapp.bridge.concurrency.greenlets.current import current_call, enter_call
from ashapp.bridge.concurrency.greenlets.greenlet_task import run_in_greenlet
from ashapp.bridge.concurrency.threads.executor import submit_by_default

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

    from ashapp.bridge.concurrency.call import Call

__all__ = [
    "WaitingThread",
    "run_coroutine",
    "run_for",
    "run_on_loop",
    "set_main_event_loop",
    "while_handling",
]

T = TypeVar("T")


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* from sync code on a thread, and return its result.

    A thread that serves a request waits for the loop of that. Elsewhere asgiref finds a loop.
    """
    call = current_call()
    if call is None:
        return AsyncToSync(as_coroutine)(coroutine)
    # Where the application has entered a context of its own, a copy of it has to do.
    context = call.context if getcurrent().gr_context is call.context else copy_context()
    return run_on_loop(coroutine, call.coroutine_loop(), context, call)


def run_on_loop(
    coroutine: Coroutine[Any, Any, T],
    loop: asyncio.AbstractEventLoop,
    context: Context,
    call: Call | None = None,
) -> T:
    """Run *coroutine* on *loop*, in *context*, and wait for its result, on a thread other than the loop's.

    If the thread is that of a *call*, the coroutine is cancelled with its request.

    Raises:
        BaseException: what the coroutine raises.
        RuntimeError: *loop* has been closed.

    """
    thread = WaitingThread()
    running = _run(coroutine, thread, context, call)

    def start() -> None:
        task = loop.create_task(running, context=TEMPLATE.copy())
        task.add_done_callback(end)
        if call is not None:
            call.note_task(task)

    def end(_task: asyncio.Task[None]) -> None:
        if not thread.result.done():  # it was cancelled before its first step
            coroutine.close()
            thread.result.set_exception(asyncio.CancelledError())

    try:
        loop.call_soon_threadsafe(start)
    except RuntimeError:  # the loop has been closed
        running.close()
        coroutine.close()
        raise
    result: T = thread.wait()
    return result


async def _run(
    coroutine: Coroutine[Any, Any, Any], thread: WaitingThread, context: Context, call: Call | None
) -> None:
    await await_into(thread.result, run_in_greenlet(thread.lend_to(coroutine), context, call))


class WaitingThread(CurrentThreadExecutor):
    """The current thread, which waits for a coroutine on a loop, and meanwhile runs what this sends back.

    Tasks that the coroutine leaves behind still have this executor in their context. By then the thread
    serves another request, so their sync code goes where asgiref sends it by default.
    """

    def __init__(self) -> None:
        super().__init__(None)
        #: What the thread waits for.
        self.result: Future[Any] = Future()
        self._handled = sys.exception()

    def wait(self) -> Any:
        """Wait for the result, and return or raise it. On the thread."""
        self.run_until_future(self.result)
        return self.result.result()

    async def lend_to(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await *coroutine*, and let ``sync_to_async`` use the thread. On the loop."""
        # Set here, not by the thread: asgiref's Local shows a value only to the thread that set it.
        outer = getattr(AsyncToSync.executors, "current", None)
        AsyncToSync.executors.current = self
        try:
            return await while_handling(self._handled, coroutine)
        finally:
            AsyncToSync.executors.current = outer

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run *fn* on the thread; see ``concurrent.futures.Executor``."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            return submit_by_default(fn, *args, **kwargs)


async def while_handling(handled: BaseException | None, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await *coroutine* so that ``sys.exception()`` tells it what its caller handles, as an error handler."""
    if handled is None:
        return await coroutine
    traceback = handled.__traceback__
    try:
        raise handled  # noqa: TRY301 - to be what is handled while the coroutine runs
    except BaseException as error:
        error.__traceback__ = traceback
        return await coroutine


def run_for(call: Call, context: Context | None, function: Callable[[], object]) -> None:
    """Run *function* on this thread, which serves *call*, with *context* for the current one.

    The context is not entered (``Context.run``): a coroutine of the same request could not run in it on the
    loop while the thread waits.
    """
    # No variable holds the greenlet: a traceback would keep it longer than its thread, and then the garbage
    # collector can meet it freed (greenlet 2.0 to 3.5).
    outer_context = getcurrent().gr_context
    getcurrent().gr_context = context
    outer_call = enter_call(call)
    set_main_event_loop(call.loop)
    try:
        function()
    finally:
        enter_call(outer_call)
        getcurrent().gr_context = outer_context


def set_main_event_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Make *loop* the one on which asgiref's ``async_to_sync`` runs coroutines from this thread."""
    local = SyncToAsync.threadlocal
    known = getattr(local, "main_event_loop", None)
    if type(known) is not _MainEventLoop or known.loop is not loop:
        local.main_event_loop = _MainEventLoop(loop)
        local.main_event_loop_pid = os.getpid()


class _MainEventLoop:
    """*loop* as asgiref sees it, which creates a task for each call of ``async_to_sync``.

    Where the request on this thread has a loop of its own for coroutines, it is that.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def __getattr__(self, name: str) -> Any:
        call = current_call()
        return getattr(self.loop if call is None else call.coroutine_loop(), name)

    def create_task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(run_in_greenlet(coroutine, copy_context()))
