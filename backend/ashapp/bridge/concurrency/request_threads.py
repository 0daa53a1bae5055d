# SPDX-License-Identifier: MIT
"""Threads for the sync parts of requests whose view runs on the loop.

Theory of operation. A request has a thread of its own, from its first sync callable to its end. So what is
thread-local there is seen by no other request, and a callable may wait for what another request does. A
request with none but async or nonblocking callables before its view holds no thread while it waits.

To the pool, all that a request has done on its thread is one piece of work (``RequestThread``). Past the size
of the pool requests wait for a thread in order of arrival, and threads that have had no request for a while
end. A request that the application makes to itself, in process, gets a thread beside the pool, which ends
with it: the request that waits for it may have the last one.

A stream gives its thread back where it may, and gets one for what comes behind it, perhaps another one. What
is thread-local goes with it, where requests have such values of their own.

A WebSocket lives for hours, and a thread that it held would be missed. Where requests have thread-local
values of their own, it has a thread only while one of its callables runs (``BorrowedThread``). Its values go
with it from one thread to the next.

asgiref runs all thread-sensitive code of a process on one thread where nothing else is said. Requests would
wait for each other, and what a hook has opened would be used on another thread. asgiref looks for an executor
in the context: ``RequestThreadExecutor``, which leads such code to the thread of the request.
"""

from __future__ import annotations

import threading
from collections import deque
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
    "BorrowedThread",
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

    __slots__ = ("_handoffs", "_ident", "_piece", "ended", "is_nested", "pool", "values")

    def __init__(self, pool: RequestThreadPool, *, is_nested: bool = False) -> None:
        self.pool = pool
        self.is_nested = is_nested
        #: Whether the request has ended.
        self.ended = False
        #: The thread-local values of the request, by threads; None where those of the threads count.
        self.values: dict[int, Any] | None = None
        # None as long as the request has no thread; the identity of the thread that it has, or has had.
        self._handoffs: SimpleQueue[Handoff | None] | None = None
        self._piece: Handoff | None = None
        self._ident = 0

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
        self._piece = partial(self._work, self._handoffs)
        try:
            self._start(self._piece)
        except RuntimeError:
            self._handoffs = self._piece = None
            raise

    def _start(self, piece: Handoff) -> None:
        try:
            if self.is_nested:
                threading.Thread(target=piece, name="ashapp-request-nested", daemon=True).start()
            else:
                self.pool.submit(piece)
        except RuntimeError as error:
            raise RuntimeError("no thread can be started for the sync parts of requests") from error

    def withdraw(self, handoff: Handoff) -> bool:
        """Take *handoff* back where the request still waits for its thread; say whether it did.

        Others that wait with it go to the end of the queue for a thread.
        """
        if self._handoffs is None or self._piece is None or not self.pool.withdraw(self._piece):
            return False
        handoffs, self._handoffs, self._piece = self._handoffs, None, None
        while not handoffs.empty():
            other = handoffs.get()
            if other is not None and other != handoff:
                self.submit(other)
        return True

    def end(self) -> None:
        """Give the thread back, when it has done what has been submitted."""
        self.ended = True
        self.release()

    def release(self) -> None:
        """Give the thread back as ``end`` does; the request may ask for one again."""
        if self._handoffs is not None:
            self._handoffs.put(None)
            self._handoffs = self._piece = None

    def _arrive(self) -> None:
        """Find on this thread what the request has kept on the one before it."""
        mark_thread()
        before, self._ident = self._ident, threading.get_ident()
        if before and self.values is not None:
            self.values[self._ident] = self.values.pop(before, {})

    def _work(self, handoffs: SimpleQueue[Handoff | None]) -> None:
        self._arrive()
        while (handoff := handoffs.get()) is not None:
            handoff()
            del handoff


class BorrowedThread(RequestThread):
    """A thread for a WebSocket or a static file, while a sync callable of it runs; not always the same."""

    __slots__ = ("_is_working", "_lock", "_waiting")

    def __init__(self, pool: RequestThreadPool, *, is_nested: bool = False) -> None:
        super().__init__(pool, is_nested=is_nested)
        self._waiting: deque[Handoff] = deque()
        self._lock = threading.Lock()
        self._is_working = False

    def submit(self, handoff: Handoff) -> None:
        """Run *handoff* after those that have been submitted before; see ``RequestThread``."""
        with self._lock:
            self._waiting.append(handoff)
            if self._is_working:
                return
            self._is_working = True
        try:
            self._start(self._work_off)
        except RuntimeError:
            self._waiting.clear()
            self._is_working = False
            raise

    def withdraw(self, handoff: Handoff) -> bool:
        """Take *handoff* back if it has not begun; say whether it did."""
        with self._lock:
            if handoff not in self._waiting:
                return False
            self._waiting.remove(handoff)
        return True

    def _work_off(self) -> None:
        self._arrive()
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_working = False
                    return
                handoff = self._waiting.popleft()
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
