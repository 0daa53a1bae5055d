# SPDX-License-Identifier: MIT
"""The workers as the main process knows them: one in its own process, or several below a supervisor."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from prometheus_client import REGISTRY, CollectorRegistry, Metric

from ashapp.observe.metrics.errors import RecentError
from ashapp.server.health.readiness_runner import Outcome

if TYPE_CHECKING:
    from ashapp.server.fault_injection.board import FaultBoard

__all__ = ["LOAD", "LocalWorker", "WorkerStatus", "Workers"]

_log = logging.getLogger("ashapp.server")

#: The figures of a worker's load, in the order of the pages, with the descriptions of their sums (metrics).
LOAD: Mapping[str, str] = {
    "active_requests": "Requests that have begun and not ended.",
    "queued_requests": "Requests that wait for a thread.",
    "threads": "Threads for requests: how many there may be.",
    "busy_threads": "Threads for requests that are busy.",
    "async_threads": "Threads for the sync hooks of async views: how many there may be.",
    "busy_async_threads": "Threads for the sync hooks of async views in use.",
    "websockets": "WebSockets that are open, those in their handshake among them.",
    "websocket_threads": "Threads for handlers of WebSockets: how many there may be.",
    "busy_websocket_threads": "Threads for handlers of WebSockets that are held by one.",
    "socketio_polls": "Requests of Socket.IO clients that wait for events.",
    "unwritten_metrics": "Values of metrics that find no room where they are seen.",
}


@dataclass(frozen=True)
class WorkerStatus:
    """The status of a worker at a moment.

    *beat* is when its event loop was last seen to run, by ``time.monotonic``: a clock that all processes of a
    machine share. *reason* is why it should get no requests, None if it should.
    """

    pid: int
    beat: float
    reason: str | None
    #: Its figures by the names of `LOAD`.
    load: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(LOAD, 0))
    checks: list[Outcome] = field(default_factory=list)
    #: The views that have been moved to threads as they block the event loop, by endpoint, and why.
    moved_views: dict[str, str] = field(default_factory=dict)
    #: Where a page shows them, by route and place: how many requests have ended, and how many in each second
    #: lately. And the last errors.
    requests: list[tuple[str, str, int, float]] = field(default_factory=list)
    errors: list[RecentError] = field(default_factory=list)

    @property
    def age(self) -> float:
        """Seconds since the event loop was seen to run."""
        return time.monotonic() - self.beat

    def told(self, stalled: float) -> dict[str, Any]:
        """Return it as operators see it.

        After *stalled* seconds without a sign of life the worker counts as stalled.
        """
        reason = f"no sign of life for {self.age:.1f} s" if self.age > stalled else self.reason
        checks = [outcome.told() for outcome in self.checks]
        seen = {"pid": self.pid, "ready": reason is None, "reason": reason}
        return {**seen, **self.load, "moved_views": self.moved_views, "checks": checks}

    def dump(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the status of a *text* of ``dump``."""
        values = json.loads(text)
        values["checks"] = [Outcome(**check) for check in values["checks"]]
        values["requests"] = [tuple(counted) for counted in values["requests"]]
        values["errors"] = [RecentError(**error) for error in values["errors"]]
        return cls(**values)


class Workers:
    """The workers and their metrics. From any thread."""

    def __init__(self) -> None:
        #: The registry for a worker's metrics of the service.
        self.registry = CollectorRegistry()
        #: The injected faults, in the process of the management port; None if they are not allowed.
        self.faults: FaultBoard | None = None
        #: Workers that have ended so far.
        self.ended = 0
        #: When the service began, in seconds since the epoch.
        self.began = time.time()

    def attach(self, status: Callable[[], WorkerStatus]) -> None:
        """Begin to report the worker in this process; *status* returns its status."""

    def write(self, status: WorkerStatus) -> None:
        """Take the *status* of a worker in place of its last."""

    def withdraw(self, pid: int) -> None:
        """Remove the status of a worker that serves no more."""

    def forget(self, pid: int) -> None:
        """Count an ended worker, once. Its counts stay in the sums; its faults end with it."""
        self.ended += 1
        if self.faults is not None:
            self.faults.forget(pid)

    def statuses(self) -> list[WorkerStatus]:
        """Return the status of each worker that serves."""
        raise NotImplementedError

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of all workers, ended ones included."""
        raise NotImplementedError


class LocalWorker(Workers):
    """The one worker of a process that serves alone."""

    _status: Callable[[], WorkerStatus] | None = None

    def attach(self, status: Callable[[], WorkerStatus]) -> None:
        """Report what *status* returns from now on."""
        self._status = status

    def withdraw(self, pid: int) -> None:  # noqa: ARG002 - of one process among several
        """Stop reports: this process serves no longer."""
        self._status = None

    def statuses(self) -> list[WorkerStatus]:
        """Return the status of this process, while it serves."""
        status = self._status
        return [] if status is None else [status()]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of this process, with those of the application and of Python."""
        yield from self.registry.collect()
        try:
            of_application = list(REGISTRY.collect())
        except Exception:  # a collector of the application's own has failed
            _log.exception("The metrics of the application can't be collected")
            return
        yield from of_application
