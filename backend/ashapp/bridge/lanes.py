# SPDX-License-Identifier: MIT
"""Threads for the sync parts of requests that otherwise run on the loop.

Theory of operation. A request whose view is a coroutine may meet sync callables on its way: hooks, error
handlers, teardown. They may block, so they don't run on the loop; and they may use what belongs to a thread,
such as a database handle, so all those of one request run on the same thread. That thread is its
*lane*. A request takes its lane at its first sync callable: one that no other request has, if there is any,
else a new one. Only when there are as many as there may be do requests share: most of the time they wait
for something else, and a lane is held only while a callable runs. Then it is the lane with the least to do.
"""

import logging
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["Lane", "Lanes", "Lease"]

_log = logging.getLogger("ashapp.bridge")

Job = Callable[[], None]


class Lane:
    """One thread that runs jobs in order of arrival."""

    def __init__(self, name: str) -> None:
        self.requests = 0
        # Two counts, because each is written by one thread only.
        self._submitted = 0
        self._done = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    @property
    def pending(self) -> int:
        """How many jobs wait, or run."""
        return self._submitted - self._done

    def submit(self, job: Job) -> None:
        """Run *job* on the lane's thread. On the loop."""
        self._submitted += 1
        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread when it has done what has been submitted."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException:
                _log.exception("a job failed on %s", threading.current_thread().name)
            self._done += 1
            del job


class Lanes:
    """At most *size* lanes, made as they are needed. On the loop, but for its end."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lanes: list[Lane] = []
        weakref.finalize(self, _stop, self._lanes).atexit = False

    def acquire(self) -> Lane:
        """Return the lane for one more request."""
        lane = min(self._lanes, key=lambda lane: (lane.pending, lane.requests), default=None)
        if lane is None or ((lane.pending or lane.requests) and len(self._lanes) < self.size):
            lane = self._add() or lane
            if lane is None:
                raise RuntimeError("no thread can be started for the sync parts of requests")
        lane.requests += 1
        return lane

    def release(self, lane: Lane) -> None:
        """Say that a request has done with *lane*."""
        lane.requests -= 1

    def _add(self) -> Lane | None:
        try:
            lane = Lane(f"ashapp-lane-{len(self._lanes) + 1}")
        except RuntimeError:  # the system gives no more threads: those that there are must do
            return None
        self._lanes.append(lane)
        return lane


class Lease:
    """The lane of one request: chosen at first use, and given back at the end. On the loop."""

    __slots__ = ("_lane", "_lanes", "ended")

    def __init__(self, lanes: Lanes) -> None:
        self.ended = False
        self._lanes = lanes
        self._lane: Lane | None = None

    def lane(self) -> Lane:
        """Return the lane."""
        if self._lane is None:
            self._lane = self._lanes.acquire()
        return self._lane

    def end(self) -> None:
        """Give the lane back."""
        self.ended = True
        if self._lane is not None:
            self._lanes.release(self._lane)


def _stop(lanes: list[Lane]) -> None:
    for lane in lanes:
        lane.stop()
