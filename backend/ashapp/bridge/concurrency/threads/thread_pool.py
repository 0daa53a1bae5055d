# SPDX-License-Identifier: MIT
"""A bounded pool of threads.

Threads are started as they are needed, up to the given number. If all are busy, work waits in order of
arrival. Threads are daemons: a thread that is stuck in an application does not keep the process from ending.

Theory of operation. To wake a thread costs far more than the queue: it must be scheduled, and then wait for
the interpreter lock. So at most one thread is being woken (``waking``) at any time. When it runs and has
taken its hand-off, it wakes the next one if there is more to do. So hand-offs that block spread over the
threads at once. Quick ones are all done by the thread that runs already, before the next thread gets to run.
The thread that became idle last is woken first.
"""

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ashapp.bridge.concurrency.futures import run_into

__all__ = ["Handoff", "ThreadPool"]

_log = logging.getLogger("ashapp.bridge")

#: A piece of work for a thread.
Handoff = Callable[[], None]
T = TypeVar("T")


class ThreadPool:
    """Runs callables on at most *size* threads, which end with the pool itself.

    *option* is the name of the size in error messages, *name* the prefix of the threads' names. Threads that
    have had nothing to do for *idle_time* seconds end, until more are needed.

    Raises:
        ValueError: *size* is less than one.
    """

    def __init__(
        self,
        size: int,
        *,
        option: str = "threads",
        name: str = "ashapp-worker",
        idle_time: float | None = None,
    ) -> None:
        if size < 1:
            raise ValueError(f"{option} is {size!r}: expected 1 or more")
        #: How many threads there may be.
        self.size = size
        self._state = _State(size, name, idle_time)
        weakref.finalize(self, self._state.stop).atexit = False

    @property
    def started(self) -> int:
        """How many threads there are."""
        return self._state.started

    @property
    def busy(self) -> int:
        """How many threads have something to do."""
        return self._state.started - len(self._state.idle)

    @property
    def queued(self) -> int:
        """How many callables wait for a thread."""
        return len(self._state.handoffs)

    @property
    def is_overfull(self) -> bool:
        """Whether there are more callables than threads."""
        state = self._state
        return len(state.handoffs) + state.started - len(state.idle) > state.size

    def stuck(self, seconds: float) -> int:
        """Return how many threads have been busy with the same callable for so many *seconds*."""
        latest = time.monotonic() - seconds
        return sum(0 < since <= latest for since in list(self._state.busy_since.values()))

    def submit(self, handoff: Handoff) -> None:
        """Run *handoff* on a thread, as soon as one is free. From any thread.

        Raises:
            RuntimeError: not even the first thread could be started.
        """
        state = self._state
        state.handoffs.append(handoff)
        if not state.waking:
            try:
                state.wake()
            except RuntimeError:  # there is no thread at all, so it has not been taken
                state.handoffs.remove(handoff)
                raise

    def withdraw(self, handoff: Handoff) -> bool:
        """Take *handoff* back, and say whether it was still waiting; else it runs, or has run."""
        try:
            self._state.handoffs.remove(handoff)
        except ValueError:
            return False
        return True

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Run *function* as ``submit`` does, and return a future of its result."""
        future: Future[T] = Future()
        self.submit(partial(run_into, future, function))
        return future

    def dismiss(self) -> None:
        """Let idle threads end; threads are started again when they are needed."""
        state = self._state
        with state.mutex:
            state.dismissed.update(state.idle)
            state.started -= len(state.idle)
            while state.idle:
                alarm = state.idle.pop()
                state.busy_since.pop(alarm, None)
                alarm.release()


class _State:
    """The state that the threads share with the pool; they hold no reference to the pool itself."""

    def __init__(self, size: int, name: str, idle_time: float | None) -> None:
        self.size = size
        self.name = name
        self.timeout = -1 if idle_time is None else idle_time
        self.handoffs: deque[Handoff] = deque()
        self.mutex = threading.Lock()
        # The locks that wake the idle threads.
        self.idle: list[threading.Lock] = []
        # The idle threads that will end when they are woken.
        self.dismissed: set[threading.Lock] = set()
        # When each thread took its hand-off, by ``time.monotonic``; 0 for one that has none.
        self.busy_since: dict[threading.Lock, float] = {}
        self.started = 0
        self.waking = False
        self.stopped = False
        # How many forks lie between the process that made the pool and this one.
        self.generation = 0
        _states.add(self)

    def begin_anew(self) -> None:
        """Have no thread and nothing to do, in a forked child: all that belongs to its parent."""
        self.handoffs, self.idle, self.dismissed, self.busy_since = deque(), [], set(), {}
        self.mutex = threading.Lock()
        self.started = 0
        self.waking = False
        self.generation += 1

    def wake(self) -> None:
        """Get one more thread to look at the hand-offs, unless one is on its way or all are busy."""
        with self.mutex:
            if self.waking or not self.handoffs:
                return
            if self.idle:
                self.waking = True
                self.idle.pop().release()
            elif self.started < self.size:
                self.waking = True
                self.started += 1
                name = f"{self.name}-{self.started}"
                try:
                    threading.Thread(target=_work, args=(self,), name=name, daemon=True).start()
                except RuntimeError:  # the system gives no more threads: those that there are must do
                    # None of them has become idle meanwhile, trusting this one: that takes the mutex.
                    self.waking = False
                    self.started -= 1
                    if not self.started:
                        raise

    def take(self, alarm: threading.Lock) -> Handoff | None:
        """Return the next hand-off; where there is none, be among the idle, to be woken by *alarm*."""
        try:
            return self.handoffs.popleft()
        except IndexError:
            with self.mutex:
                if self.handoffs:
                    return self.handoffs.popleft()
                self.idle.append(alarm)
            return None

    def rest(self, alarm: threading.Lock) -> bool:
        """Wait to be woken; say whether that came to pass, else the thread is to end."""
        if alarm.acquire(timeout=self.timeout):
            is_dismissed = alarm in self.dismissed
            self.dismissed.discard(alarm)
            return not is_dismissed
        with self.mutex, suppress(ValueError):
            self.idle.remove(alarm)
            self.busy_since.pop(alarm, None)
            self.started -= 1
            return False
        return alarm.acquire()  # it has just been taken from the idle, to be woken

    def stop(self) -> None:
        # Without the mutex: the garbage collector may call this on a thread that holds it.
        self.stopped = True
        while self.idle:
            self.idle.pop().release()


_states: weakref.WeakSet[_State] = weakref.WeakSet()


def _begin_anew() -> None:
    for state in _states:
        state.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _work(state: _State) -> None:
    generation = state.generation
    alarm = threading.Lock()
    alarm.acquire()
    arriving = True
    while True:
        if arriving:
            state.waking = False
        handoff = state.take(alarm)
        if handoff is None:
            if state.stopped or not state.rest(alarm):
                return
            arriving = True
            continue
        if arriving and state.handoffs:
            state.wake()
        arriving = False
        state.busy_since[alarm] = time.monotonic()
        try:
            handoff()
        except BaseException:
            _log.exception("a hand-off failed on %s", threading.current_thread().name)
        if state.generation != generation:  # a forked child, whose thread this is: the process ends with it
            return
        state.busy_since[alarm] = 0.0
        del handoff
