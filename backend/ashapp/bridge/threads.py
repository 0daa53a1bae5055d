# SPDX-License-Identifier: MIT
"""A bounded pool of worker threads.

Threads are started as they are needed, up to the given number, and the one that became idle last is
the first to get work, so that a lightly loaded pool keeps using the same, warm threads. Work that
finds every thread busy waits in order of arrival. Threads are daemons: one that is stuck in an
application does not keep the process from ending.
"""

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["ThreadPool"]

_log = logging.getLogger("ashapp.bridge")

Job = Callable[[], None]
T = TypeVar("T")


class ThreadPool:
    """Runs callables on at most *size* threads, which end with the pool itself.

    Raises:
        ValueError: *size* is less than one.

    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"threads is {size!r}: expected 1 or more")
        self.size = size
        self._state = _State()
        weakref.finalize(self, self._state.stop).atexit = False

    @property
    def started(self) -> int:
        """How many threads exist."""
        return self._state.started

    @property
    def queued(self) -> int:
        """How many callables wait for a thread."""
        return len(self._state.jobs)

    def submit(self, job: Job) -> None:
        """Run *job* on a thread, as soon as one is free. From any thread."""
        state = self._state
        with state.mutex:
            state.jobs.append(job)
            if state.idle:
                state.idle.pop().release()
                return
            if state.started == self.size:
                return
            state.started += 1
            number = state.started
        threading.Thread(target=_work, args=(state,), name=f"ashapp-worker-{number}", daemon=True).start()

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Run *function* as ``submit`` does, and return a future of its result."""
        future: Future[T] = Future()

        def job() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:
                    future.set_exception(error)

        self.submit(job)
        return future


class _State:
    """What the threads share with the pool; they hold no reference to the pool itself."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.jobs: deque[Job] = deque()
        self.idle: list[threading.Lock] = []
        self.started = 0
        self.stopped = False

    def stop(self) -> None:
        # Without the mutex: the garbage collector may call this on a thread that holds it.
        self.stopped = True
        while self.idle:
            self.idle.pop().release()


def _work(state: _State) -> None:
    wake = threading.Lock()
    wake.acquire()
    while True:
        with state.mutex:
            job = state.jobs.popleft() if state.jobs else None
            if job is None:
                state.idle.append(wake)
        if job is None:
            if state.stopped:
                return
            wake.acquire()
            continue
        try:
            job()
        except BaseException:
            _log.exception("a job failed on %s", threading.current_thread().name)
        del job
