# SPDX-License-Identifier: MIT
"""What the management port knows of the workers: of one in its own process, or of those of a supervisor."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from prometheus_client import REGISTRY, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from ashapp.server.management.status_reporter import Reporter
    from ashapp.server.management.worker_status import Status

_log = logging.getLogger("ashapp.server")

__all__ = ["LocalOverview", "Overview"]


class Overview(Protocol):
    """The workers and their metrics. From any thread."""

    @property
    def registry(self) -> CollectorRegistry:
        """Where a worker registers its metrics."""

    @property
    def ended(self) -> int:
        """Workers that have ended so far."""

    def attach(self, reporter: Reporter) -> None:
        """Let *reporter* tell how the worker in this process is."""

    def forget(self, pid: int) -> None:
        """Take note, once, that a worker has ended; what it has counted stays counted."""

    def statuses(self) -> list[Status]:
        """Return how the workers are that serve."""

    def collect(self) -> Iterable[Metric]:
        """Return what all workers have counted, those that have ended too."""


class LocalOverview:
    """The overview of a process that serves alone."""

    ended = 0

    def __init__(self) -> None:
        #: For the metrics of the service; those of the application are in prometheus-client's own.
        self.registry = CollectorRegistry()
        self._reporter: Reporter | None = None

    def attach(self, reporter: Reporter) -> None:
        """Let *reporter* tell how this process is."""
        self._reporter = reporter

    def forget(self, pid: int) -> None:
        """See `Overview`: there is no other worker."""

    def statuses(self) -> list[Status]:
        """Return how this process is, while it serves."""
        reporter = self._reporter
        return [reporter.status()] if reporter is not None and reporter.is_running else []

    def collect(self) -> Iterable[Metric]:
        """Return what this process has counted, with the metrics of the application and of Python."""
        yield from self.registry.collect()
        try:
            of_application = list(REGISTRY.collect())
        except Exception:  # a collector of the application's own has failed
            _log.exception("The metrics of the application can't be collected")
            return
        yield from of_application
