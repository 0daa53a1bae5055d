# SPDX-License-Identifier: MIT
"""Threads for the sync parts of requests whose view runs on the loop.

Theory of operation. A request has a thread of its own, from its first sync callable to its end. So what is
thread-local there is seen by no other request, and a callable may wait for what another request does. A
request with none but async or nonblocking callables before its view holds no thread while it waits.

To the pool, all that a request has done on its thread is one piece of work (``RequestThread``). Past the size
of the pool requests wait for a thread in order of arrival, and threads that have had no request for a while
end. A request that the application makes to itself, in process, gets a thread beside the pool, which ends
with it: the request that waits for it may have the last one.

asgiref runs all thread-sensitive code of a process on one thread where nothing else is said. Requests would
wait for each other, and what a hook has opened would be used on another thread. asgiref looks for an executor
in the context: ``RequestThreadExecutor``, which leads such code to the thread of the request.
"""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from contextvars import ContextVar
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from asgiref.sync import SyncToAsync

from ashapp.bridge.concurrency.futures import run_into
from ashapp.bridge.concurrency.thread_locals import mark_thread
from ashapp.bridge.concurrency.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from ashapp.bridge.concurrency.thread_pool import Handoff

__all__ = [
    "RequestThread",
    "RequestThreadExecutor",
    "RequestThreadPool",
    "current_request_thread",
    "submit_by_default",
]

#: The thread of the request whose context is current, where its view runs on the loop.
current_request_thread: ContextVar[RequestThread | None] = ContextVar("ashapp_request_thread", default=None)


class RequestThreadPool(ThreadPool):
    """At most *size* threads for requests; those that have had none for *idle_time* seconds end.

    *is_stopping* says whether the server stops, or returns None where nobody knows.

    Raises:
        ValueError: *size* is less than one.

    """

    def __init__(
        self, size: int, is_stopping: Callable[[], bool | None] = lambda: None, *, idle_time: float = 10.0
    ) -> None:
        super().__init__(size, option="async_threads", name="ashapp-request", idle_time=idle_time)
        self.is_stopping = is_stopping


class RequestThread:
    """The thread of one request: taken from *pool* at the first use, and given back at the end.

    *is_nested* says that the request is made in the course of another one, in process. All methods are called
    on the loop.
    """

    __slots__ = ("_handoffs", "ended", "is_nested", "pool")

    def __init__(self, pool: RequestThreadPool, *, is_nested: bool = False) -> None:
        self.pool = pool
        self.is_nested = is_nested
        #: Whether the request has ended.
        self.ended = False
        # None until the request asks for a thread.
        self._handoffs: SimpleQueue[Handoff | None] | None = None

    def submit(self, handoff: Handoff) -> None:
        """Run *handoff*, which must not raise, on the thread, after those that have been submitted before.

        Raises:
            RuntimeError: there is no thread, and none can be started.

        """
        if self._handoffs is not None:
            self._handoffs.put(handoff)
            return
        self._handoffs = SimpleQueue()
        self._handoffs.put(handoff)
        try:
            if self.is_nested:
                threading.Thread(target=self._work, name="ashapp-request-nested", daemon=True).start()
            else:
                self.pool.submit(self._work)
        except RuntimeError as error:
            self._handoffs = None
            raise RuntimeError("no thread can be started for the sync parts of requests") from error

    def withdraw(self, handoff: Handoff) -> bool:
        """Take *handoff* back where the request still waits for its thread; say whether it did.

        Others that wait with it go to the end of the queue for a thread.
        """
        if self._handoffs is None or not self.pool.withdraw(self._work):
            return False
        handoffs, self._handoffs = self._handoffs, None
        while not handoffs.empty():
            other = handoffs.get()
            if other is not None and other != handoff:
                self.submit(other)
        return True

    def end(self) -> None:
        """Give the thread back, when it has done what has been submitted."""
        self.ended = True
        if self._handoffs is not None:
            self._handoffs.put(None)

    def _work(self) -> None:
        mark_thread()
        handoffs = self._handoffs
        while handoffs is not None and (handoff := handoffs.get()) is not None:
            handoff()
            del handoff


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
