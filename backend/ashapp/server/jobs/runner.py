# SPDX-License-Identifier: MIT
"""Runs the jobs of an application in this worker, when it is its turn.

Theory of operation. Each job has a thread. The thread waits for its turn, runs the job or lets the event loop
run it, and gives the turn back when the job has ended.
"""

import asyncio
import contextlib
import inspect
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ashapp.bridge.concurrency.futures import without_exit
from ashapp.server.jobs.registry import registered_jobs
from ashapp.server.jobs.turns import Turns

__all__ = ["JobRunner"]

_log = logging.getLogger("ashapp.server")

# Seconds between attempts to get a turn.
_INTERVAL = 0.25
# Seconds until a failed job is run again: the shortest and the longest wait.
_SHORTEST, _LONGEST = 1.0, 30.0


class JobRunner:
    """A monitor that runs the registered jobs, each when this worker has its turn at it.

    Sync jobs run within the context manager that *make_context* returns. At the end all jobs have *grace*
    seconds.
    """

    def __init__(
        self, turns: Turns, make_context: Callable[[], AbstractContextManager[Any]], grace: float
    ) -> None:
        self._turns = turns
        self._grace = grace
        self._make_context = make_context
        self._running: list[_Running] = []

    async def start(self) -> None:
        """Begin to wait for turns."""
        loop = asyncio.get_running_loop()
        jobs = registered_jobs().items()
        self._running = [_Running(name, job, self._turns, self._make_context, loop) for name, job in jobs]
        for running in self._running:
            running.start()

    async def stop(self) -> None:
        """End the running jobs, and wait until they have ended, within the time for it."""
        for running in self._running:
            running.end()
        waits = [running.has_ended.wait() for running in self._running]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await asyncio.gather(*waits)
        late = [running.job for running in self._running if not running.has_ended.is_set()]
        if late:
            _log.warning(
                "%s has not ended within %g s: the worker ends without waiting for it",
                ", ".join(late),
                self._grace,
            )


class _Running(threading.Thread):
    def __init__(
        self,
        job: str,
        function: Callable[[], Any],
        turns: Turns,
        make_context: Callable[[], AbstractContextManager[Any]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(name=f"ashapp-job-{job}", daemon=True)
        self.job = job
        #: Of the loop.
        self.has_ended = asyncio.Event()
        self._function = function
        self._turns = turns
        self._make_context = make_context
        self._loop = loop
        self._ended = threading.Event()
        self._is_ended = asyncio.Event()

    def end(self) -> None:
        """Ask the job to end. On the loop."""
        self._ended.set()
        self._is_ended.set()

    def run(self) -> None:
        """Wait for a turn, and use it."""
        has_turn = self._turns.take(self.job)
        while not (has_turn or self._ended.wait(_INTERVAL)):
            has_turn = self._turns.take(self.job)
        if has_turn:
            self._use_turn()
            self._turns.leave(self.job)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.has_ended.set)

    def _use_turn(self) -> None:
        pause = _SHORTEST
        while not (self._ended.is_set() or self._turns.is_done(self.job)):
            _log.info("This worker runs %s", self.job)
            began = time.monotonic()
            try:
                self._call()
            except BaseException:
                pause = _SHORTEST if time.monotonic() - began > _LONGEST else pause
                _log.exception("%s has failed; it is run again in %g s", self.job, pause)
                self._ended.wait(pause)
                pause = min(2 * pause, _LONGEST)
            else:
                if not self._ended.is_set():
                    self._turns.set_done(self.job)

    def _call(self) -> None:
        if inspect.iscoroutinefunction(self._function) or inspect.isasyncgenfunction(self._function):
            asyncio.run_coroutine_threadsafe(without_exit(self._on_loop()), self._loop).result()
            return
        with self._make_context():
            if inspect.isgeneratorfunction(self._function):
                with contextlib.contextmanager(self._function)():
                    self._ended.wait()
            else:
                self._function()

    async def _on_loop(self) -> None:
        if inspect.isasyncgenfunction(self._function):
            async with contextlib.asynccontextmanager(self._function)():
                await self._is_ended.wait()
            return
        job = asyncio.create_task(without_exit(self._function()), name=self.name)
        end = asyncio.create_task(self._is_ended.wait())
        await asyncio.wait({job, end}, return_when=asyncio.FIRST_COMPLETED)
        if end.done():
            job.cancel()
            await asyncio.wait({job})
        end.cancel()
        if not (job.cancelled() and end.done()):
            job.result()
