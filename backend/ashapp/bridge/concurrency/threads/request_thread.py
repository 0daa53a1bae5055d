# SPDX-License-Identifier: MIT
"""Threads for the sync parts of requests whose view runs on the loop.

Theory of operation. A request has a thread of its own, from its first sync callable to its end. So no other
request sees its thread-local values, and its callables may wait for other requests. If all callables before
the view are async or nonblocking, the request holds no thread while its view waits.

For the pool, all callables of a request are one piece of work (``RequestThread``). When all threads are busy,
requests wait in order of arrival. Threads that have had no request for a while end. A request that the
application makes to itself, in process, gets a thread beside the pool, which ends with it: the request that
waits for it may hold the last thread of the pool.

A stream gives its thread back if it may, and gets a thread again, perhaps another one, for the callables
after it. If requests have thread-local values of their own, these go with it. The same holds for a WebSocket,
which lives for hours, and for a static file, whose blocks are read on a thread: these borrow a thread only
while a callable runs.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ashapp.bridge.concurrency.threads.thread_locals import mark_thread
from ashapp.bridge.concurrency.threads.thread_pool import Handoff, ThreadPool

__all__ = ["RequestThread", "RequestThreadPool", "current_request_thread"]

#: The thread of the request whose context is current, where its view runs on the loop.
current_request_thread: ContextVar["RequestThread | None"] = ContextVar("ashapp_request_thread", default=None)


class RequestThreadPool(ThreadPool):
    """At most *size* threads for requests; those that have had none for *idle_time* seconds end.

    *is_stopping* says whether the server stops; it returns None if that is unknown.

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

    If it *is_borrowed*, the thread is given back whenever there is nothing more to do, and the next one may
    be another. *is_nested* says that another request makes this one, in process. All methods are called on
    the loop.
    """

    __slots__ = (
        *("_alarm", "_handoffs", "_ident", "_is_borrowed", "_is_kept", "_is_taken", "_lock"),
        *("ended", "is_nested", "pool", "values"),
    )

    # They are made at the first use: most requests have none.
    _handoffs: deque[Handoff]
    _lock: threading.Lock

    def __init__(
        self, pool: RequestThreadPool, *, is_nested: bool = False, is_borrowed: bool = False
    ) -> None:
        self.pool = pool
        self.is_nested = is_nested
        #: Whether the request has ended.
        self.ended = False
        #: The thread-local values of the request, by threads; None where those of the threads count.
        self.values: dict[int, Any] | None = None
        self._is_borrowed = is_borrowed
        # Whether there is a thread, or one is asked for; whether an idle one waits for more, and the lock
        # that wakes it.
        self._is_taken = self._is_kept = False
        self._alarm: threading.Lock | None = None
        # The identity of the thread that the request has, or has had.
        self._ident = 0

    def submit(self, handoff: Handoff) -> None:
        """Run *handoff*, which must not raise, on the thread, after those that have been submitted before.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        if not hasattr(self, "_lock"):
            self._lock, self._handoffs = threading.Lock(), deque()
        with self._lock:
            self._handoffs.append(handoff)
            self._is_kept = not (self._is_borrowed or self.ended)
            self._wake()
            is_taken, self._is_taken = self._is_taken, True
        if not is_taken:
            self._take_thread()

    def _take_thread(self) -> None:
        try:
            if self.is_nested:
                threading.Thread(target=self._work, name="ashapp-request-nested", daemon=True).start()
            else:
                self.pool.submit(self._work)
        except RuntimeError as error:
            self._handoffs.clear()
            self._is_taken = False
            raise RuntimeError("no thread can be started for the sync parts of requests") from error

    def withdraw(self, handoff: Handoff) -> bool:
        """Take *handoff* back if it has not begun; say whether it did."""
        with self._lock:
            if handoff not in self._handoffs:
                return False
            self._handoffs.remove(handoff)
            if not self._handoffs and self.pool.withdraw(self._work):
                self._is_taken = False
        return True

    def end(self) -> None:
        """Give the thread back when it has run all submitted callables."""
        self.ended = True
        self.release()

    def release(self) -> None:
        """Give the thread back as ``end`` does; the request may ask for one again."""
        if self._is_kept:
            with self._lock:
                self._is_kept = False
                self._wake()

    def _wake(self) -> None:
        if self._alarm is not None:
            self._alarm.release()
            self._alarm = None

    def _work(self) -> None:
        """Run submitted callables. On the thread."""
        self._arrive()
        alarm = threading.Lock()
        alarm.acquire()
        while True:
            with self._lock:
                handoff = self._handoffs.popleft() if self._handoffs else None
                if handoff is None:
                    if not self._is_kept:
                        self._is_taken = False
                        return
                    self._alarm = alarm
            if handoff is None:
                alarm.acquire()
            else:
                handoff()
                del handoff

    def _arrive(self) -> None:
        """Move the thread-local values of the request from its last thread to this one."""
        mark_thread()
        before, self._ident = self._ident, threading.get_ident()
        if before and self.values is not None:
            self.values[self._ident] = self.values.pop(before, {})
