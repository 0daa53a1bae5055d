# SPDX-License-Identifier: MIT
"""Threads for the sync parts of requests that otherwise run on the loop.

Theory of operation. A request whose view is a coroutine may meet sync callables on its way: hooks, error
handlers, teardown. They may block, so they don't run on the loop; and they may use what belongs to a thread,
such as a database handle, so all those of one request run on the same thread. That thread is its
*lane*. Many requests share a lane, since most of the time they wait for something else: it is
held only while a callable runs. A request takes its lane at its first sync callable: one that is idle,
if there is any, else a new one, else the one with the fewest requests.
"""

import logging
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["Lane", "Lanes"]

_log = logging.getLogger("ashapp.bridge")

Job = Callable[[], None]


class Lane:
    """One thread that runs jobs in order of arrival."""

    def __init__(self, name: str) -> None:
        self.requests = 0
        self.pending = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()

    def submit(self, job: Job) -> None:
        """Run *job* on the lane's thread."""
        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread when it has done what has been submitted."""
        self._jobs.put(None)


def _work(jobs: SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        try:
            job()
        except BaseException:
            _log.exception("a job failed on %s", threading.current_thread().name)
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
        if lane is None or (lane.pending and len(self._lanes) < self.size):
            lane = Lane(f"ashapp-lane-{len(self._lanes) + 1}")
            self._lanes.append(lane)
        lane.requests += 1
        return lane

    def release(self, lane: Lane) -> None:
        """Say that a request has done with *lane*."""
        lane.requests -= 1


def _stop(lanes: list[Lane]) -> None:
    for lane in lanes:
        lane.stop()
