# SPDX-License-Identifier: MIT
"""Coroutines that are reached from the sync code of a request: run on the server's loop.

Theory of operation. The worker thread that reaches a coroutine (an ``async def`` view, hook or signal
receiver, or the bare coroutine that a decorator returned) hands it to the loop that serves the request, and
waits. The coroutine runs there in a task of its own, and in a greenlet, so that what it calls may wait as in
an async view (see ``greenlet_tasks``). The greenlet has the *same* ``Context`` object, not a copy: what the
coroutine sets the thread sees afterwards, and a token made on one side can be reset on the other. That is
sound because the thread, which has that context current, sleeps meanwhile.

While it waits, the thread runs what the coroutine sends back with ``sync_to_async``, through asgiref's
``CurrentThreadExecutor``: so thread-sensitive code, such as a database handle, stays on the request's thread.

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
from ashapp.bridge.concurrency.greenlet_tasks import run_in_greenlet
from ashapp.bridge.concurrency.greenlets import current_call, current_greenlet
from ashapp.bridge.concurrency.sync_to_async import submit_by_default

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextvars import Context

    from ashapp.bridge.concurrency.call import Call

__all__ = ["ThreadExecutor", "adopt_loop", "complete", "finish", "run_on_loop", "while_handling"]

T = TypeVar("T")


def adopt_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Make *loop* the one on which asgiref's ``async_to_sync`` runs coroutines from this thread."""
    local = SyncToAsync.threadlocal
    known = getattr(local, "main_event_loop", None)
    if type(known) is not _AdoptedLoop or known.loop is not loop:
        local.main_event_loop = _AdoptedLoop(loop)
        local.main_event_loop_pid = os.getpid()


def run_on_loop(
    coroutine: Coroutine[Any, Any, T],
    loop: asyncio.AbstractEventLoop,
    context: Context,
    call: Call | None = None,
    *,
    shielded: bool = False,
) -> T:
    """Run *coroutine* on *loop*, in *context*, and wait for its result, on a thread other than the loop's.

    If the thread is that of an *call*, the task is cancelled with its request unless it is *shielded*.

    Raises:
        BaseException: what the coroutine raises.
        RuntimeError: *loop* has been closed.

    """
    result: Future[T] = Future()
    executor = ThreadExecutor(None)
    running = _run(coroutine, executor, sys.exception(), context, call, result)

    def start() -> None:
        task = loop.create_task(running, context=TEMPLATE.copy())
        task.add_done_callback(lambda _: _make_sure(coroutine, result))
        if call is not None and not shielded:
            call.note_task(task)

    try:
        loop.call_soon_threadsafe(start)
    except RuntimeError:  # the loop has been closed
        running.close()
        coroutine.close()
        raise
    executor.run_until_future(result)
    return result.result()


def complete(coroutine: Coroutine[Any, Any, T], *, shielded: bool = False) -> T:
    """Run *coroutine* from sync code, wherever that runs, and return its result.

    In a greenlet, the greenlet waits. On a thread that serves a request, the thread waits for the server's
    loop. Elsewhere it is asgiref's to find a loop. One that is *shielded* is not cancelled with its request.
    """
    greenlet = current_greenlet()
    if greenlet is not None:
        result: T = greenlet.driver.run_coroutine(coroutine)
        return result
    call = current_call()
    if call is None:
        return AsyncToSync(finish)(coroutine)
    # Where the application has entered a context of its own, a copy of it has to do.
    context = call.context if getcurrent().gr_context is call.context else copy_context()
    return run_on_loop(coroutine, call.coroutine_loop(), context, call, shielded=shielded)


async def finish(awaitable: Awaitable[T]) -> T:
    """Await *awaitable*: a coroutine function out of a coroutine."""
    return await awaitable


async def _run(  # noqa: PLR0913, PLR0917 - all that it takes with it to the loop
    coroutine: Coroutine[Any, Any, T],
    executor: CurrentThreadExecutor,
    handled: BaseException | None,
    context: Context,
    call: Call | None,
    result: Future[T],
) -> None:
    try:
        value = await run_in_greenlet(_lend_thread(coroutine, executor, handled), context, call)
    except BaseException as error:
        # SystemExit and the like too: raised here they would stop the loop instead of reaching the thread.
        result.set_exception(error)
    else:
        result.set_result(value)


async def _lend_thread(
    coroutine: Coroutine[Any, Any, T], executor: CurrentThreadExecutor, handled: BaseException | None
) -> T:
    # Set here, not by the waiting thread: asgiref's Local shows a value only to the thread that set it.
    outer = getattr(AsyncToSync.executors, "current", None)
    AsyncToSync.executors.current = executor
    try:
        return await while_handling(handled, coroutine)
    finally:
        AsyncToSync.executors.current = outer


def _make_sure(coroutine: Coroutine[Any, Any, T], result: Future[T]) -> None:
    if not result.done():  # its task was cancelled before the first step
        coroutine.close()
        result.set_exception(asyncio.CancelledError())


async def while_handling(handled: BaseException | None, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await *coroutine* so that ``sys.exc_info()`` tells it what its caller handles (an error handler)."""
    if handled is None:
        return await coroutine
    traceback = handled.__traceback__
    try:
        raise handled  # noqa: TRY301 - to be what is handled while the coroutine runs
    except BaseException as error:
        error.__traceback__ = traceback
        return await coroutine


class ThreadExecutor(CurrentThreadExecutor):
    """The waiting thread, as an executor that outlives the wait.

    A task that the coroutine leaves behind still has this executor in its context. By then the
    thread serves another request, so the task's sync code goes where asgiref sends it by default.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run *fn* on the thread; see ``concurrent.futures.Executor``."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            return submit_by_default(fn, *args, **kwargs)


class _AdoptedLoop:
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
