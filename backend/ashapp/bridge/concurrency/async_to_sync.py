# SPDX-License-Identifier: MIT
"""Runs coroutines that sync code of a request reaches on the server's loop.

Theory of operation. A thread that serves a request reaches a coroutine: an ``async def`` view, hook or signal
receiver, or the bare coroutine that a decorator returned. The thread hands the coroutine to the loop and
waits. There it runs in a task and a greenlet of its own, so that sync code that the coroutine calls may wait
in turn.

The greenlet has the *same* ``Context`` object as the thread, not a copy. So the thread sees the values that
the coroutine sets, and a token of one side can be reset on the other. That is sound because the thread sleeps
meanwhile. It only wakes up to run functions that the coroutine sends back with ``sync_to_async``, so that a
database handle, say, stays on the request's thread (``WaitingThread``).
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync
from greenlet import getcurrent

from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.context import TEMPLATE, adopt_values
from ashapp.bridge.concurrency.futures import as_coroutine, await_into
from ashapp.bridge.concurrency.greenlets.current import current_call
from ashapp.bridge.concurrency.greenlets.greenlet_task import run_in_greenlet
from ashapp.bridge.concurrency.threads.executors import WaitingThread

__all__ = ["run_coroutine", "run_on_loop"]

T = TypeVar("T")


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run *coroutine* from sync code on a thread, and return its result.

    On a thread that serves a request, the loop is that of the request. Elsewhere asgiref finds a loop.
    """
    call = current_call()
    if call is None:
        return AsyncToSync(as_coroutine)(coroutine)
    return run_on_loop(coroutine, call.coroutine_loop(), call)


def run_on_loop(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, call: Call | None) -> T:
    """Run *coroutine* on *loop* and wait for its result, on a thread other than the loop's.

    If the thread is that of a *call*, the coroutine is cancelled with its request. What it sets in its
    context is set here, too.

    Raises:
        BaseException: what the coroutine raises.
        RuntimeError: *loop* has been closed.
    """
    thread = WaitingThread()
    is_own = call is not None and getcurrent().gr_context is call.context
    # A context that the application has entered itself is in use, so a copy of it is taken.
    context = call.context if call is not None and is_own else copy_context()
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
    try:
        result: T = thread.wait()
    finally:
        if not is_own:
            adopt_values(context)
    return result


async def _run(
    coroutine: Coroutine[Any, Any, Any], thread: WaitingThread, context: Context, call: Call | None
) -> None:
    await await_into(thread.result, run_in_greenlet(thread.lend_to(coroutine), context, call))
