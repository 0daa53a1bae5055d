# SPDX-License-Identifier: MIT
"""Threads for the sync parts of requests whose view runs on the loop.

Theory of operation. A *lane* is a thread that runs jobs in order of arrival. It belongs to one request, from
the first sync callable of that request to its end. So what is thread-local there is seen by no other request,
and a callable may wait for what another request does. A request takes a lane at its first job: one with none
but async or nonblocking callables before its view holds no thread while it waits.

There are as many lanes as requests need at once, up to a limit. Past it requests wait for a lane in order of
arrival. Only one that the application makes to itself, in process, does not: the request that waits for it
may have the last lane. Lanes that have not been needed for a while end.

All of it is called on the loop, but for the jobs, and where a lane that was still busy is given on.
"""

import asyncio
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from queue import SimpleQueue

from ashapp.bridge.thread_locals import mark_thread

__all__ = ["Lane", "Lanes", "Lease"]

_log = logging.getLogger("ashapp.bridge")

Job = Callable[[], None]

# Seconds after which lanes that have not been needed end.
_IDLE_TIME = 10.0


class Lane:
    """One thread that runs jobs in order of arrival.

    Raises:
        RuntimeError: the system gives no more threads.

    """

    def __init__(self, name: str) -> None:
        # Two counts: one is written by the loop only, the other by the lane's thread only.
        self._submitted = 0
        self._done = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    @property
    def pending(self) -> int:
        """How many jobs wait, or run."""
        return self._submitted - self._done

    def submit(self, job: Job) -> None:
        """Run *job* on the lane's thread."""
        self._submitted += 1
        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread when it has done what has been submitted."""
        self._jobs.put(None)

    def _work(self) -> None:
        mark_thread()
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException:
                _log.exception("a job failed on %s", threading.current_thread().name)
            del job
            self._done += 1


class Lanes:
    """At most *limit* lanes, started as they are needed.

    Raises:
        ValueError: *limit* is less than one.

    """

    def __init__(self, limit: int, is_stopping: Callable[[], bool | None] = lambda: None) -> None:
        if limit < 1:
            raise ValueError(f"async_threads is {limit!r}: expected 1 or more")
        self.limit = limit
        #: Says whether the server stops, or None where nobody knows.
        self.is_stopping = is_stopping
        #: How many lanes there are, those that wait for a request among them.
        self.started = 0
        self._idle: list[Lane] = []
        # How few of them were idle at once since the last look: so many are not needed.
        self._spare = 0
        # The lane's own thread may give it to the next request.
        self._mutex = threading.Lock()
        self._waiting: deque[tuple[Lease, asyncio.AbstractEventLoop]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_loop: asyncio.AbstractEventLoop | None = None
        weakref.finalize(self, _stop, self._idle).atexit = False

    @property
    def busy(self) -> int:
        """How many lanes belong to a request."""
        return self.started - len(self._idle)

    @property
    def queued(self) -> int:
        """How many requests wait for a lane."""
        return len(self._waiting)

    def acquire(self, lease: "Lease") -> None:
        """Give *lease* a lane: now, or when one is free.

        Raises:
            RuntimeError: not even the first thread could be started.

        """
        with self._mutex:
            lane = self._idle.pop() if self._idle else self._start(beyond_limit=lease.is_nested)
            self._spare = min(self._spare, len(self._idle))
            if lane is None:
                self._waiting.append((lease, asyncio.get_running_loop()))
                return
        lease.take(lane)

    def withdraw(self, lease: "Lease") -> None:
        """Let *lease* wait no longer."""
        with self._mutex:
            self._waiting = deque(entry for entry in self._waiting if entry[0] is not lease)

    def release(self, lane: Lane) -> None:
        """Say that a request has done with *lane*, which may still be busy with a job of it."""
        if lane.pending:
            lane.submit(partial(self._give_itself, lane, asyncio.get_running_loop()))
        else:
            self._give(lane)
            self._trim_later()

    def _give_itself(self, lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        self._give(lane)
        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(self._trim_later, context=Context())

    def _give(self, lane: Lane) -> None:
        """Give *lane* to the request that has waited longest, or keep it. On the loop or the lane itself."""
        while True:
            with self._mutex:
                if self.started > self.limit:
                    self.started -= 1
                    lane.stop()
                    return
                if not self._waiting:
                    self._idle.append(lane)
                    return
                lease, loop = self._waiting.popleft()
            try:
                loop.call_soon_threadsafe(lease.take, lane, context=Context())
            except RuntimeError:  # its loop has been closed, and nobody waits there any more
                continue
            return

    def _start(self, *, beyond_limit: bool) -> Lane | None:
        if self.started >= self.limit and not beyond_limit:
            return None
        try:
            lane = Lane(f"ashapp-lane-{self.started + 1}")
        except RuntimeError as error:
            if self.started:  # those that there are must do
                return None
            raise RuntimeError("no thread can be started for the sync parts of requests") from error
        self.started += 1
        return lane

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
        """End the lanes that have not been needed since the last look."""
        self._timer = None
        with self._mutex:
            spare = self._idle[: self._spare]  # the one that became idle last is taken first
            del self._idle[: self._spare]
            self.started -= len(spare)
        _stop(spare)
        self._trim_later()


class Lease:
    """The lane of one request: taken at first use, and given back at the end.

    *is_nested* says that the request is made in the course of another one, in process.
    """

    __slots__ = ("_jobs", "_lane", "_lanes", "ended", "is_nested")

    def __init__(self, lanes: Lanes, *, is_nested: bool = False) -> None:
        self.ended = False
        self.is_nested = is_nested
        self._lanes = lanes
        self._lane: Lane | None = None
        # What has been submitted while the request waits for a lane; None where it does not.
        self._jobs: list[Job] | None = None

    @property
    def is_stopping(self) -> bool | None:
        """Whether the server stops, or None where nobody knows."""
        return self._lanes.is_stopping()

    def submit(self, job: Job) -> None:
        """Run *job* on the lane.

        Raises:
            RuntimeError: there is no lane, and no thread can be started.

        """
        if self._lane is not None:
            self._lane.submit(job)
        elif self._jobs is not None:
            self._jobs.append(job)
        else:
            self._jobs = [job]
            try:
                self._lanes.acquire(self)
            except RuntimeError:
                self._jobs = None
                raise

    def withdraw(self, job: Job) -> bool:
        """Take *job* back, and say whether it still waited for the lane; else it runs, or has run."""
        if self._jobs is None or job not in self._jobs:
            return False
        self._jobs.remove(job)
        if not self._jobs:
            self._jobs = None
            self._lanes.withdraw(self)
        return True

    def take(self, lane: Lane) -> None:
        """Run on *lane* what has been submitted, and what will be."""
        if self._lane is not None:  # it has been withdrawn too late, and has waited once more
            self._lanes.release(lane)
            return
        self._lane = lane
        for job in self._jobs or ():
            lane.submit(job)
        self._jobs = None
        if self.ended:
            self._lanes.release(lane)

    def end(self) -> None:
        """Give the lane back."""
        self.ended = True
        if self._lane is not None:
            self._lanes.release(self._lane)


def _trim(reference: "weakref.ref[Lanes]") -> None:
    lanes = reference()
    if lanes is not None:
        lanes.trim()


def _stop(lanes: list[Lane]) -> None:
    for lane in lanes:
        lane.stop()
