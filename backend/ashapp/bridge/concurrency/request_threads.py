# SPDX-License-Identifier: MIT
"""Threads for the sync parts of requests whose view runs on the loop.

Theory of operation. It is a thread that runs hand-offs in order of arrival. It belongs to one
request, from the first sync callable of that request to its end. So what is thread-local there is seen by no
other request, and a callable may wait for what another request does. A request takes a request thread at its
first hand-off: one with none but async or nonblocking callables before its view holds no thread while it
waits.

There are as many request threads as requests need at once, up to a limit. Past it requests wait for a request
thread in order of arrival. Only one that the application makes to itself, in process, does not: the request
that waits for it may have the last request thread. Request threads that have not been needed for a while end.

All of it is called on the loop, but for the hand-offs, and where a request thread that was still busy is
given on.
"""

import asyncio
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar
from functools import partial
from queue import SimpleQueue

from ashapp.bridge.concurrency.thread_locals import mark_thread

__all__ = ["Handoff", "Lease", "RequestThread", "RequestThreads", "current_lease"]

_log = logging.getLogger("ashapp.bridge")

Handoff = Callable[[], None]

#: The lease of the request, where its view runs on the loop.
current_lease: ContextVar["Lease | None"] = ContextVar("ashapp_lease", default=None)

# Seconds after which request threads that have not been needed end.
_IDLE_TIME = 10.0


class RequestThread:
    """One thread that runs hand-offs in order of arrival.

    Raises:
        RuntimeError: the system gives no more threads.

    """

    def __init__(self, name: str) -> None:
        # Two counts: one is written by the loop only, the other by the request thread's thread only.
        self._submitted = 0
        self._done = 0
        self._handoffs: SimpleQueue[Handoff | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    @property
    def pending(self) -> int:
        """How many hand-offs wait, or run."""
        return self._submitted - self._done

    def submit(self, handoff: Handoff) -> None:
        """Run *handoff* on the thread."""
        self._submitted += 1
        self._handoffs.put(handoff)

    def stop(self) -> None:
        """End the thread when it has done what has been submitted."""
        self._handoffs.put(None)

    def _work(self) -> None:
        mark_thread()
        while (handoff := self._handoffs.get()) is not None:
            try:
                handoff()
            except BaseException:
                _log.exception("a hand-off failed on %s", threading.current_thread().name)
            del handoff
            self._done += 1


class RequestThreads:
    """At most *limit* request threads, started as they are needed.

    Raises:
        ValueError: *limit* is less than one.

    """

    def __init__(self, limit: int, is_stopping: Callable[[], bool | None] = lambda: None) -> None:
        if limit < 1:
            raise ValueError(f"async_threads is {limit!r}: expected 1 or more")
        self.limit = limit
        #: Says whether the server stops, or None where nobody knows.
        self.is_stopping = is_stopping
        #: How many request threads there are, those that wait for a request among them.
        self.started = 0
        self._idle: list[RequestThread] = []
        # How few of them were idle at once since the last look: so many are not needed.
        self._spare = 0
        # The request thread's own thread may give it to the next request.
        self._mutex = threading.Lock()
        self._waiting: deque[tuple[Lease, asyncio.AbstractEventLoop]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_loop: asyncio.AbstractEventLoop | None = None
        weakref.finalize(self, _stop, self._idle).atexit = False

    @property
    def busy(self) -> int:
        """How many request threads belong to a request."""
        return self.started - len(self._idle)

    @property
    def queued(self) -> int:
        """How many requests wait for a request thread."""
        return len(self._waiting)

    def acquire(self, lease: "Lease") -> None:
        """Give *lease* a request thread: now, or when one is free.

        Raises:
            RuntimeError: not even the first thread could be started.

        """
        with self._mutex:
            request_thread = self._idle.pop() if self._idle else self._start(beyond_limit=lease.is_nested)
            self._spare = min(self._spare, len(self._idle))
            if request_thread is None:
                self._waiting.append((lease, asyncio.get_running_loop()))
                return
        lease.take(request_thread)

    def withdraw(self, lease: "Lease") -> None:
        """Let *lease* wait no longer."""
        with self._mutex:
            self._waiting = deque(entry for entry in self._waiting if entry[0] is not lease)

    def release(self, request_thread: RequestThread) -> None:
        """Say that a request has done with *request_thread*, which may still be busy with a hand-off."""
        if request_thread.pending:
            request_thread.submit(partial(self._give_itself, request_thread, asyncio.get_running_loop()))
        else:
            self._give(request_thread)
            self._trim_later()

    def _give_itself(self, request_thread: RequestThread, loop: asyncio.AbstractEventLoop) -> None:
        self._give(request_thread)
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(self._trim_later, context=Context())

    def _give(self, request_thread: RequestThread) -> None:
        """Give *request_thread* to the request that has waited longest, or keep it."""
        while True:
            with self._mutex:
                if self.started > self.limit:
                    self.started -= 1
                    request_thread.stop()
                    return
                if not self._waiting:
                    self._idle.append(request_thread)
                    return
                lease, loop = self._waiting.popleft()
            try:
                loop.call_soon_threadsafe(lease.take, request_thread, context=Context())
            except RuntimeError:  # its loop has been closed, and nobody waits there any more
                continue
            return

    def _start(self, *, beyond_limit: bool) -> RequestThread | None:
        if self.started >= self.limit and not beyond_limit:
            return None
        try:
            request_thread = RequestThread(f"ashapp-request thread-{self.started + 1}")
        except RuntimeError as error:
            if self.started:  # those that there are must do
                return None
            raise RuntimeError("no thread can be started for the sync parts of requests") from error
        self.started += 1
        return request_thread

    def _trim_later(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._idle:
            return
        if self._timer is None or self._timer_loop is not loop:
            self._spare = len(self._idle)
            # In the context of the request that ends here, the timer would keep all that this one had.
            self._timer = loop.call_later(_IDLE_TIME, _trim, weakref.ref(self), context=Context())
            self._timer_loop = loop

    def trim(self) -> None:
        """End the request threads that have not been needed since the last look."""
        self._timer = None
        with self._mutex:
            spare = self._idle[: self._spare]  # the one that became idle last is taken first
            del self._idle[: self._spare]
            self.started -= len(spare)
        _stop(spare)
        self._trim_later()


class Lease:
    """The request thread of one request: taken at first use, and given back at the end.

    *is_nested* says that the request is made in the course of another one, in process.
    """

    __slots__ = ("_handoffs", "_request_thread", "_request_threads", "ended", "is_nested")

    def __init__(self, request_threads: RequestThreads, *, is_nested: bool = False) -> None:
        self.ended = False
        self.is_nested = is_nested
        self._request_threads = request_threads
        self._request_thread: RequestThread | None = None
        # What has been submitted while the request waits for a request thread; None where it does not.
        self._handoffs: list[Handoff] | None = None

    @property
    def is_stopping(self) -> bool | None:
        """Whether the server stops, or None where nobody knows."""
        return self._request_threads.is_stopping()

    def submit(self, handoff: Handoff) -> None:
        """Run *handoff* on the request thread.

        Raises:
            RuntimeError: there is no request thread, and no thread can be started.

        """
        if self._request_thread is not None:
            self._request_thread.submit(handoff)
        elif self._handoffs is not None:
            self._handoffs.append(handoff)
        else:
            self._handoffs = [handoff]
            try:
                self._request_threads.acquire(self)
            except RuntimeError:
                self._handoffs = None
                raise

    def withdraw(self, handoff: Handoff) -> bool:
        """Take *handoff* back, and say whether it had not begun."""
        if self._handoffs is None or handoff not in self._handoffs:
            return False
        self._handoffs.remove(handoff)
        if not self._handoffs:
            self._handoffs = None
            self._request_threads.withdraw(self)
        return True

    def take(self, request_thread: RequestThread) -> None:
        """Run on *request_thread* what has been submitted, and what will be."""
        if self._request_thread is not None:  # it has been withdrawn too late, and has waited once more
            self._request_threads.release(request_thread)
            return
        self._request_thread = request_thread
        for handoff in self._handoffs or ():
            request_thread.submit(handoff)
        self._handoffs = None
        if self.ended:
            self._request_threads.release(request_thread)

    def end(self) -> None:
        """Give the request thread back."""
        self.ended = True
        if self._request_thread is not None:
            self._request_threads.release(self._request_thread)


def _trim(reference: "weakref.ref[RequestThreads]") -> None:
    request_threads = reference()
    if request_threads is not None:
        request_threads.trim()


def _stop(request_threads: list[RequestThread]) -> None:
    for request_thread in request_threads:
        request_thread.stop()
