# SPDX-License-Identifier: MIT
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

import pytest
from prometheus_client import CollectorRegistry, Metric

import ashapp
from ashapp.server.health.readiness_runner import Outcome
from ashapp.server.management import gauges
from ashapp.server.management.gauges import Gauges
from ashapp.server.management.workers import LocalWorker, WorkerStatus


class Service(LocalWorker):
    """The workers that a test says there are."""

    def __init__(self, *statuses: WorkerStatus, ended: int = 0) -> None:
        super().__init__()
        self.ended = ended
        self._statuses = list(statuses)

    def statuses(self) -> list[WorkerStatus]:
        return self._statuses

    def collect(self) -> Iterable[Metric]:
        return []


def values(service: Service) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(Gauges(service))
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for metric in registry.collect()
        if metric.name != "ashapp_build"
        for sample in metric.samples
    }


def test_what_the_workers_do_is_added_up() -> None:
    checks = [Outcome("database", None, 0.1, 1.0), Outcome("cache", "OSError: gone", 2.0, 1.0)]
    slow = [Outcome("database", None, 0.3, 1.0)]
    service = Service(
        WorkerStatus(1, 0.0, "draining", 4, 3, 2, 1, checks, 6, {"slow": "it blocks"}, 100, 7, 5, 50, 4),
        WorkerStatus(2, 0.0, None, 10, 20, 30, 25, slow),
        ended=7,
    )
    assert values(service) == {
        "http_server_active_requests": 14,
        "ashapp_queued_requests": 23,
        "ashapp_threads": 32,
        "ashapp_busy_threads": 26,
        "ashapp_async_threads": 100,
        "ashapp_busy_async_threads": 7,
        "ashapp_websockets": 5,
        "ashapp_websocket_threads": 50,
        "ashapp_busy_websocket_threads": 4,
        "ashapp_moved_views": 1,
        "ashapp_unwritten_metrics": 6,
        "ashapp_workers": 2,
        "ashapp_ready_workers": 1,
        "ashapp_ended_workers_total": 7,
        "ashapp_readiness_check_failing_workerscache": 1,
        "ashapp_readiness_check_failing_workersdatabase": 0,
        "ashapp_readiness_check_duration_secondscache": 2.0,
        "ashapp_readiness_check_duration_secondsdatabase": 0.3,
    }


def test_before_there_are_workers_there_are_none() -> None:
    found = values(Service())
    assert (
        found["ashapp_workers"] == found["ashapp_ready_workers"] == found["http_server_active_requests"] == 0
    )


def test_the_build_is_told() -> None:
    registry = CollectorRegistry()
    registry.register(Gauges(Service()))
    assert registry.get_sample_value(
        "ashapp_build_info",
        {
            "version": ashapp.__version__,
            "python": platform.python_version(),
            "flask": version("flask"),
            "uvicorn": version("uvicorn"),
        },
    )


def test_a_version_that_is_not_known_costs_no_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("ashapp.server.management.gauges.metadata.version", refuse)
    gauges._version.cache_clear()
    try:
        registry = CollectorRegistry()
        registry.register(Gauges(Service()))
        (build,) = [metric for metric in registry.collect() if metric.name == "ashapp_build"]
        assert build.samples[0].labels["flask"] == "unknown"
    finally:
        gauges._version.cache_clear()
