# SPDX-License-Identifier: MIT
"""Threads for the sync parts of requests that otherwise run on the loop.

Theory of operation. A request whose view is a coroutine may meet sync callables on its way: hooks, error
handlers, teardown. They may block, so they don't run on the loop; and they may use what belongs to a thread,
such as a database handle, so all those of one request run on the same thread. That thread is its
*lane*. A request takes its lane at its first sync callable: one that no other request has, if there is any,
else a new one. Only when there are as many as there may be do requests share: most of the time they wait
for something else, and a lane is held only while a callable runs. Then it is the lane with the least to do.

To share has a price: where a callable of one request waits for what another would give back later on the same
lane, a connection of a pool for one, both wait until the first gives up. So nobody shares while anything runs
on a lane: one more request waits for a lane that is freed, or for a moment in which all are idle. Then one
may join each lane. Where a lane is stuck in one callable, or nobody has been given a lane for long, there may
be more lanes than usual for a while.

That does not rule it out: the other request may hold its connection while its view waits, and be joined then.
So a lane that is stuck for so long that there is little hope, while other jobs wait on it, is relieved: a
new thread does what waits, and the old one ends with the callable in which it is stuck.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from queue import SimpleQueue

__all__ = ["Lane", "Lanes", "Lease"]

_log = logging.getLogger("ashapp.bridge")

Job = Callable[[], None]

# Seconds after which a request that waits looks again.
_PATIENCE = 0.01

# Seconds after which a lane is stuck.
_STUCK = 0.1

# Seconds without a lane for anyone after which those who wait starve.
_STARVED = 0.2

# Seconds after which a lane is relieved: shorter than a wait for a pooled connection, which is often 30, and
# longer than what a hook takes that is only slow, because who is on the lane then changes threads.
_HOPELESS = 3.0

# Seconds after which nobody waits for a stuck lane any more: more than one waits for a pooled connection.
_HUNG = 40.0

# Seconds that there may be more lanes than usual.
_STRAIN = 60.0

# So many times as many.
_GROWTH = 8


class Lane:
    """One thread that runs jobs in order of arrival."""

    def __init__(self, name: str) -> None:
        self.requests = 0
        self._since = 0.0  # when the job that runs, or runs next, began to
        # Two counts: one is written by the loop only, the other by the lane's threads only.
        self._submitted = 0
        self._done = 0
        self._mutex = threading.Lock()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._name = name
        self._start()

    def __str__(self) -> str:
        return self._name

    @property
    def pending(self) -> int:
        """How many jobs wait, or run."""
        return self._submitted - self._done

    def running_for(self) -> float:
        """Return for how many seconds a job has been running, 0 where there is none."""
        return time.monotonic() - self._since if self.pending else 0.0

    def submit(self, job: Job) -> None:
        """Run *job* on the lane's thread. On the loop."""
        if not self.pending:
            self._since = time.monotonic()
        self._submitted += 1
        self._jobs.put(job)

    def relieve(self) -> None:
        """Let a new thread do what waits. That which is stuck in a job ends with it."""
        with suppress(RuntimeError):  # the system gives no more threads
            self._start()

    def stop(self) -> None:
        """End the thread when it has done what has been submitted."""
        self._jobs.put(None)

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        with self._mutex:
            thread.start()
            self._thread = thread

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._since = time.monotonic()
            try:
                job()
            except BaseException:
                _log.exception("a job failed on %s", threading.current_thread().name)
            del job
            with self._mutex:
                self._done += 1
                if threading.current_thread() is not self._thread:
                    return


class Lanes:
    """*size* lanes, made as they are needed, and more under strain. On the loop, but for its end."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lanes: list[Lane] = []
        self._waiting: deque[Lease] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._relief: asyncio.TimerHandle | None = None
        self._strained_until = 0.0
        self._given_at = 0.0
        self._context = Context()
        weakref.finalize(self, _stop, self._lanes).atexit = False

    def acquire(self) -> Lane | None:
        """Return the lane for one more request, or None if it had better ``wait``."""
        lane = self._least() if self._lanes else None
        if lane is None or lane.pending or lane.requests:
            lane = (self._add() if len(self._lanes) < self._most() else None) or lane
        if lane is None:
            raise RuntimeError("no thread can be started for the sync parts of requests")
        if lane.requests and self._longest():
            return None
        lane.requests += 1
        return lane

    def wait(self, lease: Lease) -> None:
        """Give *lease* a lane in a moment."""
        if not self._waiting:
            self._given_at = time.monotonic()
        self._waiting.append(lease)
        if self._timer is None:
            self._timer = self._call_later(_PATIENCE, self._end_wait)

    def look_after(self, lane: Lane) -> None:
        """Relieve *lane*, where a request waits for a job of another, if there is little hope for that."""
        if self._relief is None and _is_contended(lane):
            self._relief = self._call_later(_HOPELESS, self._relieve)

    def _call_later(self, delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        # In the context of the request that asks for it, a timer would keep all that this one has.
        return asyncio.get_running_loop().call_later(delay, callback, context=self._context)

    def _relieve(self) -> None:
        self._relief = None
        contended = list(filter(_is_contended, self._lanes))
        for lane in contended:
            if lane.running_for() >= _HOPELESS:
                _log.warning("%s has been stuck in one callable for %s s: relieved", lane, _HOPELESS)
                lane.relieve()
        for lane in contended:
            self.look_after(lane)

    def release(self, lane: Lane) -> None:
        """Say that a request has done with *lane*."""
        lane.requests -= 1
        if lane.requests:
            return
        if self._waiting and lane.running_for() < _STUCK:
            self._give(lane)
        elif len(self._lanes) > self.size:
            self._lanes.remove(lane)
            lane.stop()

    def _end_wait(self) -> None:
        self._timer = None
        longest = self._longest()
        now = time.monotonic()
        is_starved = now - self._given_at >= _STARVED
        if longest >= _STUCK or is_starved:
            self._strained_until = now + _STRAIN
        while self._waiting and len(self._lanes) < self._most() and (lane := self._add()):
            self._give(lane)
        if not longest or (is_starved and longest < _STUCK):
            idle = [lane for lane in self._lanes if not lane.pending] or [self._least()]
            for lane in sorted(idle, key=lambda lane: lane.requests)[: len(self._waiting)]:
                self._give(lane)
        if self._waiting:
            self._timer = self._call_later(_PATIENCE, self._end_wait)

    def _give(self, lane: Lane) -> None:
        lane.requests += 1
        self._given_at = time.monotonic()
        self._waiting.popleft().take(lane)

    def _longest(self) -> float:
        return max((seconds for lane in self._lanes if (seconds := lane.running_for()) < _HUNG), default=0.0)

    def _least(self) -> Lane:
        return min(self._lanes, key=lambda lane: (lane.pending, lane.requests))

    def _most(self) -> int:
        is_strained = self.size > 1 and time.monotonic() < self._strained_until
        return self.size * _GROWTH if is_strained else self.size

    def _add(self) -> Lane | None:
        try:
            lane = Lane(f"ashapp-lane-{len(self._lanes) + 1}")
        except RuntimeError:  # the system gives no more threads: those that there are must do
            return None
        self._lanes.append(lane)
        return lane


class Lease:
    """The lane of one request: chosen at first use, and given back at the end. On the loop."""

    __slots__ = ("_jobs", "_lane", "_lanes", "ended")

    def __init__(self, lanes: Lanes) -> None:
        self.ended = False
        self._lanes = lanes
        self._lane: Lane | None = None
        self._jobs: list[Job] | None = None

    def submit(self, job: Job) -> None:
        """Run *job* on the lane."""
        if self._lane is None and self._jobs is None:
            self._lane = self._lanes.acquire()
        if self._lane is not None:
            self._lane.submit(job)
            if self._lane.pending > 1:
                self._lanes.look_after(self._lane)
        elif self._jobs is not None:
            self._jobs.append(job)
        else:
            self._jobs = [job]
            self._lanes.wait(self)

    def take(self, lane: Lane) -> None:
        """Run on *lane* what has been submitted, and what will be."""
        self._lane = lane
        for job in self._jobs or ():
            lane.submit(job)
        self._jobs = None
        self._lanes.look_after(lane)
        if self.ended:
            self._lanes.release(lane)

    def end(self) -> None:
        """Give the lane back."""
        self.ended = True
        if self._lane is not None:
            self._lanes.release(self._lane)


def _is_contended(lane: Lane) -> bool:
    return lane.requests > 1 and lane.pending > 1


def _stop(lanes: list[Lane]) -> None:
    for lane in lanes:
        lane.stop()
