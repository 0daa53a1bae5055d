# SPDX-License-Identifier: MIT
"""Tasks in which sync code can wait.

Coroutines of a request that are not the view on the loop run as tasks, such as those that a thread waits
for. What they call may be sync, and have to wait all the same: for the body of the request, for an async
context processor, or for a sync one that is to run on a thread. So each of these tasks drives a greenlet, in
which its coroutine is stepped.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from greenlet import getcurrent

from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.futures import run_into
from ashapp.bridge.concurrency.greenlets.greenlet_driver import GreenletDriver
from ashapp.bridge.concurrency.threads.thread_locals import open_request_locals, request_locals

__all__ = ["GreenletTask", "run_in_greenlet"]

T = TypeVar("T")


async def run_in_greenlet(coroutine: Coroutine[Any, Any, T], context: Context, call: Call | None = None) -> T:
    """Run *coroutine* to its end in a greenlet, which has *context*, and return its result.

    *context* is not the one of the calling task, which is entered while the greenlet runs. *call* is the one
    whose thread waits for the coroutine, and which cancels it with the request.
    """
    if context.get(request_locals) is None:
        coroutine = _with_locals(coroutine)
    result: T = await GreenletTask(call, coroutine).drive(context, depth=1)
    return result


async def _with_locals(coroutine: Coroutine[Any, Any, T]) -> T:
    open_request_locals()
    return await coroutine


class GreenletTask(GreenletDriver):
    """The task of a coroutine, as sync code that the coroutine calls sees it."""

    #: The call whose thread waits for the coroutine, if one does.
    call: Call | None = None

    def __init__(self, call: Call | None, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.call = call
        self._coroutine = coroutine

    def make_coroutine(self) -> Coroutine[Any, Any, Any]:
        """Return the coroutine; see ``GreenletDriver``."""
        return self._coroutine

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], *, in_task: bool = True) -> Any:  # noqa: ARG002
        """Run *coroutine*, always in this task; see ``Driver``."""
        return self.greenlet.wait_for(coroutine)

    def run_on_request_thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run *function* where asgiref runs what is thread-sensitive; see ``Driver``.

        That is the thread that waits for the coroutine, if one does, or the thread of the request. What
        *function* raises passes no task: ``SystemExit`` would stop the loop, and ``StopIteration`` get lost.
        """
        result: Future[Any] = Future()
        run = sync_to_async(run_into)(result, function, *args, **kwargs)
        # The application may have entered it: a greenlet can have it all the same, and a task could not.
        context: Any = getcurrent().gr_context
        self.greenlet.ask(self._await_end(run_in_greenlet(run, context)))
        return result.result()

    async def _await_end(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Await *coroutine*, also where this task is cancelled: nothing is to run beside the function."""
        task = asyncio.get_running_loop().create_task(coroutine, context=Context())
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        task.result()
