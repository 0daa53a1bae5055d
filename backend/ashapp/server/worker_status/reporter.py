# SPDX-License-Identifier: MIT
"""Reports the status of a worker while it serves: its loop's lag, its load, its readiness."""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from ashapp.bridge import WsgiToAsgi
from ashapp.bridge.websocket.libraries.polls import Polls
from ashapp.observe.logs.lines import stderr_lines
from ashapp.observe.metrics.files import unwritten
from ashapp.observe.metrics.requests import RequestMetrics
from ashapp.observe.socket_observation import messages
from ashapp.server.errors import describe
from ashapp.server.health.readiness_runner import Outcome
from ashapp.server.health.state import Health
from ashapp.server.protocols.limits import refused
from ashapp.server.worker_status.workers import Workers, WorkerStatus

__all__ = ["StatusReporter"]

_log = logging.getLogger("ashapp.server")

# Seconds between two statuses.
_INTERVAL = 1.0


class StatusReporter:
    """Reports to *workers*, at each beat of the loop, the status of the worker with this *health*.

    Its requests are those of *bridge*. *outcomes* returns the outcomes of the readiness checks. The status is
    written about once a second. A failure is logged once, and the step is tried again at the next beat.
    """

    #: The views that have been moved to threads, by endpoint, and why.
    moved: Mapping[str, str] = MappingProxyType({})
    #: Counts the polls of Socket.IO clients, if the application may have some.
    polls: Polls | None = None
    #: Whether it reports requests by route, and the last errors.
    tells_requests: bool = False

    def __init__(
        self,
        workers: Workers,
        health: Health,
        bridge: WsgiToAsgi,
        outcomes: Callable[[], Iterable[Outcome]] = tuple,
    ) -> None:
        self._workers = workers
        self._health = health
        self._bridge = bridge
        #: The metrics of its requests.
        self.metrics = RequestMetrics(workers.registry)
        self._outcomes = outcomes
        self._is_running = False
        self._beat_at = 0.0
        self._written_at = float("-inf")
        # The part of the status about requests; how many had ended when it was made, and when that was.
        self._requests: list[tuple[str, str, int, float]] = []
        self._totals: Counter[tuple[str, str]] = Counter()
        self._totals_at = time.monotonic()
        # The steps at a beat that fail at the moment.
        self._failing: set[str] = set()

    async def start(self) -> None:
        """Begin to take beats."""
        self._is_running = True
        self._workers.attach(self.status)
        self.beat(0.0)

    async def stop(self) -> None:
        """Take no more beats."""
        if self._is_running:
            self._is_running = False
            self._try("take over counts", self.metrics.take_over, refused, messages, stderr_lines.lost)
            self._try("count requests", self.metrics.write)
            self._try("withdraw its status", self._workers.withdraw, os.getpid())

    def status(self) -> WorkerStatus:
        """Return how the worker is now. From any thread."""
        return WorkerStatus(
            pid=os.getpid(),
            beat=self._beat_at,
            reason=self._health.readiness(),
            load=self._load(),
            checks=list(self._outcomes()),
            moved_views=dict(self.moved),
            requests=self._requests,
            errors=self.metrics.errors.newest() if self.tells_requests else [],
        )

    def _load(self) -> dict[str, int]:
        threads, sockets = self._bridge.threads, self._bridge.websockets
        of_requests = getattr(self._bridge, "request_threads", None)  # for the sync hooks of async views
        return {
            "active_requests": self.metrics.active,
            "queued_requests": threads.queued + (of_requests.queued if of_requests else 0),
            "threads": threads.size,
            "busy_threads": threads.busy,
            "async_threads": of_requests.size if of_requests else 0,
            "busy_async_threads": of_requests.busy if of_requests else 0,
            "websockets": sockets.open,
            "websocket_threads": sockets.pool.size,
            "busy_websocket_threads": sockets.on_threads,
            "socketio_polls": self.polls.open if self.polls else 0,
            "unwritten_metrics": unwritten(),
        }

    def beat(self, lag: float) -> None:
        """Take a beat of the loop, which was late by *lag* seconds."""
        if not self._is_running:
            return
        self._beat_at = time.monotonic()
        self._try("measure its lag", self.metrics.note_lag, lag)
        self._try("take over counts", self.metrics.take_over, refused, messages, stderr_lines.lost)
        if self._beat_at - self._written_at >= _INTERVAL:
            self._written_at = self._beat_at
            self._try("write what it counts", self._write_counts)
            self._try("write its status", lambda: self._workers.write(self.status()))

    def _write_counts(self) -> None:
        self.metrics.write()
        if self.tells_requests:
            self._count_requests()
        if count := unwritten():
            raise OSError(f"the folder of the workers has no room for {count} values of metrics")

    def _count_requests(self) -> None:
        before, self._totals = self._totals, self.metrics.totals()
        seconds = time.monotonic() - self._totals_at
        self._totals_at += seconds
        self._requests = [
            (*key, total, (total - before[key]) / seconds) for key, total in self._totals.items()
        ]

    def _try(self, what: str, function: Callable[..., object], *args: object) -> None:
        try:
            function(*args)
        except Exception as error:
            if what not in self._failing:
                self._failing.add(what)
                _log.warning("The worker can't %s: %s. It goes on, and tries again", what, describe(error))
        else:
            if what in self._failing:
                self._failing.remove(what)
                _log.info("The worker can %s again", what)
