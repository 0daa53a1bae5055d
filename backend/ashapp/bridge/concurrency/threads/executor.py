# SPDX-License-Identifier: MIT
"""The executor by which asgiref's ``sync_to_async`` finds the thread of a request.

Theory of operation. asgiref runs all thread-sensitive code of a process on one thread, where nothing else is
said. Requests would wait for each other, and what a hook has opened would be used on another thread. But
asgiref looks for an executor in the context first. There it finds this one.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import SyncToAsync

from ashapp.bridge.concurrency.futures import run_into
from ashapp.bridge.concurrency.threads.request_thread import current_request_thread
from ashapp.bridge.concurrency.threads.thread_locals import mark_thread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RequestThreadExecutor", "submit_by_default"]


class RequestThreadExecutor(Executor):
    """Runs callables on the thread of the request that submits them.

    Tasks that outlive their request have no such thread: their callables go where asgiref sends them by
    default.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run *fn*; see ``concurrent.futures.Executor``. On the loop."""
        request_thread = current_request_thread.get()
        if request_thread is None or request_thread.ended:
            return submit_by_default(fn, *args, **kwargs)
        future: Future[Any] = Future()
        request_thread.submit(partial(run_into, future, fn, *args, **kwargs))
        return future


def submit_by_default(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    """Run *fn* where asgiref sends it by default: on one thread for all, to each request its own values."""
    return SyncToAsync.single_thread_executor.submit(_run_on_shared_thread, fn, *args, **kwargs)


def _run_on_shared_thread(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    mark_thread()
    return fn(*args, **kwargs)
