# SPDX-License-Identifier: MIT
"""asgiref's ``sync_to_async`` in async views: on the request thread of the request.

Where nothing else is said, asgiref runs all thread-sensitive code of a process on one thread: requests would
wait for each other, and what a hook has opened on the request thread would be used on another thread. An
executor in the context of the request, where asgiref looks for one, leads such code to the request thread.
"""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import AsyncToSync, SyncToAsync

from ashapp.bridge.concurrency.context import TEMPLATE, new_context
from ashapp.bridge.concurrency.request_threads import current_lease
from ashapp.bridge.concurrency.thread_locals import mark_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

__all__ = ["RequestThreadExecutor", "loop_context", "submit_by_default"]

_thread = threading.local()


def loop_context(startup: Context) -> Context:
    """Return a new context for a request that is served on the loop of this thread; see ``new_context``."""
    template: Context | None = getattr(_thread, "template", None)
    if template is None:
        # Not one for all threads: asgiref's Local shows a value only to the thread that set it.
        template = _thread.template = TEMPLATE.copy()
        template.run(setattr, AsyncToSync.executors, "current", RequestThreadExecutor())
    return new_context(startup, template)


class RequestThreadExecutor(Executor):
    """Runs callables on the request thread of the request that submits them.

    Tasks that outlive their request have no request thread: their callables go where asgiref sends them by
    default.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run *fn*; see ``concurrent.futures.Executor``. On the loop."""
        lease = current_lease.get()
        if lease is None or lease.ended:
            return submit_by_default(fn, *args, **kwargs)
        future: Future[Any] = Future()
        lease.submit(partial(_run, future, fn, args, kwargs))
        return future


def submit_by_default(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    """Run *fn* where asgiref sends it by default: on one thread for all, to each request its own values."""
    return SyncToAsync.single_thread_executor.submit(_run_on_shared_thread, fn, *args, **kwargs)


def _run_on_shared_thread(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    mark_thread()
    return fn(*args, **kwargs)


def _run(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = fn(*args, **kwargs)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(value)
