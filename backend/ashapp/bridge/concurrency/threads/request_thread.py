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
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from ashapp.bridge.concurrency.threads.thread_locals import mark_thread
from ashapp.bridge.concurrency.threads.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from ashapp.bridge.concurrency.threads.thread_pool import Handoff

__all__ = ["RequestThread", "RequestThreadPool", "current_request_thread"]

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
