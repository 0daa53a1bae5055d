# SPDX-License-Identifier: MIT
"""Gauges: how the workers are at the time of a scrape. Counters are in ``observe.metrics``."""

import platform
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from ashapp import __version__
from ashapp.server.worker_status.workers import LOAD, Workers, WorkerStatus

if TYPE_CHECKING:
    from ashapp.server.fault_injection.board import RequestedFault

__all__ = ["Gauges"]


class Gauges:
    """A collector for prometheus-client: how *workers* are now, summed over all of them."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        statuses = self._workers.statuses()
        for name, text in LOAD.items():
            prefix = "http_server" if name == "active_requests" else "ashapp"
            yield GaugeMetricFamily(f"{prefix}_{name}", text, sum(status.load[name] for status in statuses))
        yield GaugeMetricFamily(
            "ashapp_moved_views",
            "Views that have been moved to threads as they block the event loop, in each worker.",
            sum(len(status.moved_views) for status in statuses),
        )
        ready = sum(status.reason is None for status in statuses)
        yield GaugeMetricFamily("ashapp_workers", "Workers that serve.", len(statuses))
        yield GaugeMetricFamily("ashapp_ready_workers", "Workers that are ready for requests.", ready)
        yield CounterMetricFamily("ashapp_ended_workers", "Workers that have ended.", self._workers.ended)
        yield from _checks(statuses)
        if self._workers.faults is not None:
            yield _faults(self._workers.faults.wanted())
        versions = {name: _version(name) for name in ("flask", "uvicorn")}
        build = {"version": __version__, "python": platform.python_version(), **versions}
        yield InfoMetricFamily("ashapp_build", "What is served by.", build)


def _checks(statuses: list[WorkerStatus]) -> Iterator[Metric]:
    failing = GaugeMetricFamily(
        "ashapp_readiness_check_failing_workers",
        "Workers in which a readiness check fails.",
        labels=["check"],
    )
    duration = GaugeMetricFamily(
        "ashapp_readiness_check_duration_seconds",
        "How long the last run of a readiness check took, in the slowest worker.",
        labels=["check"],
    )
    outcomes = defaultdict(list)
    for outcome in (outcome for status in statuses for outcome in status.checks):
        outcomes[outcome.name].append(outcome)
    for name, found in sorted(outcomes.items()):
        failing.add_metric([name], sum(outcome.error is not None for outcome in found))
        duration.add_metric([name], max(outcome.duration for outcome in found))
    yield from (failing, duration)


def _faults(found: "list[RequestedFault]") -> Metric:
    faults = GaugeMetricFamily(
        "ashapp_active_faults", "Injected faults that are not over.", labels=["ashapp_fault"]
    )
    for kind, count in Counter(each.fault.kind for each in found).items():
        faults.add_metric([kind], count)
    return faults


@cache
def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, OSError):  # as in an archive
        return "unknown"
