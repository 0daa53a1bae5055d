# SPDX-License-Identifier: MIT
"""What a worker measures of itself while it serves: its loop's lag, its load, its readiness."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from ashapp.bridge.threads import ThreadPool
from ashapp.observe.metrics import RequestMetrics
from ashapp.server.checker import Outcome
from ashapp.server.health import Health
from ashapp.server.protocols.refusal import refused
from ashapp.server.status import Status

__all__ = ["Board", "Reporter"]

# Seconds from one measurement of the lag to the next: any stall that is longer is seen.
_INTERVAL = 0.25
# The status is written at every fourth of them.
_WRITTEN = 4


class Board(Protocol):
    """Where a worker writes its status for another process."""

    def write(self, status: Status) -> object:
        """Write a worker's status in the place of its last."""

    def withdraw(self, pid: int) -> object:
        """Remove the status of a worker."""


class Reporter:
    """Measures the lag of its loop, and tells how the worker is that has this *health* and these *threads*.

    *outcomes* gives those of the readiness checks. The status is written on ``board``, if there is one, about
    once a second.
    """

    board: Board | None = None

    def __init__(
        self,
        health: Health,
        threads: ThreadPool,
        metrics: RequestMetrics,
        outcomes: Callable[[], Iterable[Outcome]] = tuple,
    ) -> None:
        self._health = health
        self._threads = threads
        self._metrics = metrics
        self._outcomes = outcomes
        self._beats = 0
        self._beat_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a loop that it measures."""
        return self._timer is not None

    async def start(self) -> None:
        """Measure the running loop until ``stop``."""
        self._beat(asyncio.get_running_loop(), time.monotonic())

    async def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._metrics.note_refusals(refused)
            self._timer.cancel()
            self._timer = None
            if self.board is not None:
                self.board.withdraw(os.getpid())

    def status(self) -> Status:
        """Return how the worker is now. From any thread."""
        return Status(
            pid=os.getpid(),
            beat=self._beat_at,
            reason=self._health.readiness(),
            active=self._metrics.active,
            queued=self._threads.queued,
            threads=self._threads.size,
            busy=self._threads.busy,
            checks=list(self._outcomes()),
        )

    def _beat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._beat_at = time.monotonic()
        # The clock of a loop may be a bit ahead.
        self._metrics.note_lag(max(0.0, self._beat_at - due))
        self._metrics.note_refusals(refused)
        if self.board is not None and self._beats % _WRITTEN == 0:
            self.board.write(self.status())
        self._beats += 1
        self._timer = loop.call_later(_INTERVAL, self._beat, loop, time.monotonic() + _INTERVAL)
