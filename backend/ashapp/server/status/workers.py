# SPDX-License-Identifier: MIT
"""The workers as the main process knows them: one in its own process, or several below a supervisor."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from prometheus_client import REGISTRY, CollectorRegistry, Metric

from ashapp.observe.metrics.errors import RecentError
from ashapp.server.health.readiness_runner import Outcome

if TYPE_CHECKING:
    from ashapp.server.faults.board import FaultBoard

__all__ = ["LocalWorker", "WorkerStatus", "Workers"]

_log = logging.getLogger("ashapp.server")

# How busy a worker is: the attributes that operators are told, in this order.
_LOAD = (
    "active_requests",
    "queued_requests",
    "threads",
    "busy_threads",
    "async_threads",
    "busy_async_threads",
    "websockets",
    "websocket_threads",
    "busy_websocket_threads",
    "socketio_polls",
    "moved_views",
)


@dataclass(frozen=True)
class WorkerStatus:
    """What a worker tells of itself at a moment.

    *beat* is when its event loop was last seen to run, by ``time.monotonic``: a clock that all processes of a
    machine share. *reason* is why it should get no requests, None if it should.
    """

    pid: int
    beat: float
    reason: str | None
    #: Requests that have begun and not ended; and how many of these wait for a thread.
    active_requests: int = 0
    queued_requests: int = 0
    #: Threads for requests: how many there may be, and how many are busy.
    threads: int = 0
    busy_threads: int = 0
    checks: list[Outcome] = field(default_factory=list)
    #: Values of metrics that nobody sees, as there is no room for them.
    unwritten_metrics: int = 0
    #: The views that have been moved to threads as they block the event loop, by endpoint, and why.
    moved_views: dict[str, str] = field(default_factory=dict)
    #: Threads that each belong to one request with an async view: how many there may be, and how many do.
    async_threads: int = 0
    busy_async_threads: int = 0
    #: WebSockets that are open; and threads for their handlers: how many there may be, and how many are held.
    websockets: int = 0
    websocket_threads: int = 0
    busy_websocket_threads: int = 0
    #: Requests of Socket.IO clients that wait for events.
    socketio_polls: int = 0
    #: When it began to serve, and when it wrote this, by ``time.monotonic``.
    started: float = 0.0
    written: float = 0.0
    #: Where a page shows them: how many requests have ended, by route and place, and the last errors.
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    errors: list[RecentError] = field(default_factory=list)

    @property
    def age(self) -> float:
        """Seconds since the event loop was seen to run."""
        return time.monotonic() - self.beat

    def told(self, stalled: float) -> dict[str, Any]:
        """Return what operators are told of it.

        *stalled* is after how many seconds without a sign of life the worker counts as stalled.
        """
        reason = f"no sign of life for {self.age:.1f} s" if self.age > stalled else self.reason
        load = {name: getattr(self, name) for name in _LOAD}
        checks = [outcome.told() for outcome in self.checks]
        return {"pid": self.pid, "ready": reason is None, "reason": reason, **load, "checks": checks}

    def dump(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what ``dump`` made *text* of."""
        values = json.loads(text)
        values["checks"] = [Outcome(**check) for check in values["checks"]]
        values["requests"] = [tuple(counted) for counted in values.get("requests", ())]
        values["errors"] = [RecentError(**error) for error in values.get("errors", ())]
        # A worker that was started after an upgrade may tell more than its supervisor knows.
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})


class Workers:
    """The workers and their metrics. From any thread."""

    def __init__(self) -> None:
        #: Where a worker registers the metrics of the service.
        self.registry = CollectorRegistry()
        #: The faults that are asked for, where that may be, in the process of the management port.
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
        """Count a worker that has ended, once. What it has counted stays counted; its faults end with it."""
        self.ended += 1
        if self.faults is not None:
            self.faults.forget(pid)

    def statuses(self) -> list[WorkerStatus]:
        """Return the status of each worker that serves."""
        raise NotImplementedError

    def collect(self) -> Iterable[Metric]:
        """Return what all workers have counted, those that have ended too."""
        raise NotImplementedError


class LocalWorker(Workers):
    """The one worker of a process that serves alone."""

    _status: Callable[[], WorkerStatus] | None = None

    def attach(self, status: Callable[[], WorkerStatus]) -> None:
        """Report what *status* returns from now on."""
        self._status = status

    def withdraw(self, pid: int) -> None:  # noqa: ARG002 - of one process among several
        """Report nothing any more: this process serves no longer."""
        self._status = None

    def statuses(self) -> list[WorkerStatus]:
        """Return the status of this process, while it serves."""
        status = self._status
        return [] if status is None else [status()]

    def collect(self) -> Iterable[Metric]:
        """Return what this process has counted, with the metrics of the application and of Python."""
        yield from self.registry.collect()
        try:
            of_application = list(REGISTRY.collect())
        except Exception:  # a collector of the application's own has failed
            _log.exception("The metrics of the application can't be collected")
            return
        yield from of_application
