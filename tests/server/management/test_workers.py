# SPDX-License-Identifier: MIT
from collections.abc import Iterable

import pytest
from prometheus_client import REGISTRY, Counter, Metric
from prometheus_client.registry import Collector

from ashapp.bridge.concurrency.thread_pool import ThreadPool
from ashapp.observe.metrics.requests import RequestMetrics
from ashapp.server.health.state import Health
from ashapp.server.management.status_reporter import Reporter
from ashapp.server.management.workers import LocalOverview


async def test_a_process_that_serves_alone_is_seen_while_it_serves() -> None:
    overview = LocalOverview()
    assert overview.statuses() == []
    reporter = Reporter(Health(), ThreadPool(1), RequestMetrics(overview.registry))
    overview.attach(reporter)
    assert overview.statuses() == []
    await reporter.start()
    (status,) = overview.statuses()
    assert status.reason == "starting"
    await reporter.stop()
    assert overview.statuses() == []
    overview.forget(status.pid)
    assert overview.ended == 0


def test_what_is_counted_for_the_service_by_the_application_and_of_python_is_collected() -> None:
    overview = LocalOverview()
    Counter("jobs", "Jobs.", registry=overview.registry)
    names = [metric.name for metric in overview.collect()]
    assert names[0] == "jobs"
    assert {"python_info", "process_cpu_seconds"} <= set(names)


def test_a_collector_of_the_application_that_fails_takes_nothing_of_ours_along(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Collector):
        def collect(self) -> Iterable[Metric]:
            raise LookupError("oops")

        def describe(self) -> Iterable[Metric]:
            return []

    overview, failing = LocalOverview(), Failing()
    Counter("jobs", "Jobs.", registry=overview.registry)
    REGISTRY.register(failing)
    try:
        assert [metric.name for metric in overview.collect()] == ["jobs"]
    finally:
        REGISTRY.unregister(failing)
    assert caplog.messages == ["The metrics of the application can't be collected"]
