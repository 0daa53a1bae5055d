# SPDX-License-Identifier: MIT
"""The executors by which asgiref's ``sync_to_async`` finds the thread of a request.

Theory of operation. By default asgiref runs all thread-sensitive code of a process on one thread. Requests
would wait for each other, and a handle that a hook has opened would be used on another thread. But asgiref
first looks for an executor in the context. There it finds one of these.
"""

import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import AsyncToSync, SyncToAsync

from ashapp.bridge.concurrency.futures import run_into, while_handling
from ashapp.bridge.concurrency.threads.asgiref_locals import carry_locals
from ashapp.bridge.concurrency.threads.request_thread import current_request_thread
from ashapp.bridge.concurrency.threads.thread_locals import mark_thread

__all__ = ["RequestThreadExecutor", "WaitingThread"]

T = TypeVar("T")


class RequestThreadExecutor(CurrentThreadExecutor):
    """Runs callables on the thread of the request that submits them.

    Tasks that outlive their request have no such thread: their callables go to asgiref's default thread. But
    callables of a coroutine that the application has run by asgiref's own ``async_to_sync`` are refused, as
    under asgiref alone: it looks here for a thread that still waits, and finds none.
    """

    def __init__(self) -> None:
        super().__init__(None)
        over: Future[None] = Future()
        over.set_result(None)
        self.run_until_future(over)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run *fn*; see ``concurrent.futures.Executor``. On the loop."""
        request_thread = current_request_thread.get()
        if request_thread is None or request_thread.ended:
            return _submit_by_default(fn, *args, **kwargs)
        future: Future[Any] = Future()
        request_thread.submit(partial(run_into, future, fn, *args, **kwargs))
        return future


class WaitingThread(CurrentThreadExecutor):
    """The current thread: it waits for a coroutine on a loop, and runs the functions that this sends back.

    Tasks that the coroutine leaves behind still have this executor in their context. The thread then serves
    another request, so their sync code goes to asgiref's default thread.
    """

    def __init__(self) -> None:
        super().__init__(None)
        #: The result that the thread waits for.
        self.result: Future[Any] = Future()
        self._handled = sys.exception()

    def wait(self) -> Any:
        """Wait for the result, and return or raise it. On the thread."""
        self.run_until_future(self.result)
        carry_locals()
        return self.result.result()

    async def lend_to(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await *coroutine*, and let ``sync_to_async`` use the thread. On the loop."""
        carry_locals()
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
            return _submit_by_default(fn, *args, **kwargs)


def _submit_by_default(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    """Run *fn* on asgiref's default thread: it is one for all, but each request has its own values there."""
    return SyncToAsync.single_thread_executor.submit(_run_on_shared_thread, fn, *args, **kwargs)


def _run_on_shared_thread(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    mark_thread()
    return fn(*args, **kwargs)
