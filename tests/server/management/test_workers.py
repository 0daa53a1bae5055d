# SPDX-License-Identifier: MIT
import json
import time
from collections.abc import Iterable

import pytest
from prometheus_client import REGISTRY, Counter, Metric
from prometheus_client.registry import Collector

from ashapp.server.health.readiness_runner import Outcome
from ashapp.server.management.workers import LocalWorker, WorkerStatus


def test_a_process_that_serves_alone_is_seen_while_it_serves() -> None:
    worker, status = LocalWorker(), WorkerStatus(7, 1.0, "starting")
    assert worker.statuses() == []
    worker.attach(lambda: status)
    assert worker.statuses() == [status]
    worker.withdraw(7)
    worker.forget(7)
    assert (worker.statuses(), worker.ended) == ([], 0)


def test_what_is_counted_for_the_service_by_the_application_and_of_python_is_collected() -> None:
    worker = LocalWorker()
    Counter("jobs", "Jobs.", registry=worker.registry)
    names = [metric.name for metric in worker.collect()]
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

    worker, failing = LocalWorker(), Failing()
    Counter("jobs", "Jobs.", registry=worker.registry)
    REGISTRY.register(failing)
    try:
        assert [metric.name for metric in worker.collect()] == ["jobs"]
    finally:
        REGISTRY.unregister(failing)
    assert caplog.messages == ["The metrics of the application can't be collected"]


def test_a_status_is_the_same_after_it_has_been_written_and_read() -> None:
    checks = [Outcome("database", None, 0.002, 1.5), Outcome("cache", "OSError: gone", 2.0, 2.5)]
    status = WorkerStatus(7, 3.25, "saturated", 4, 3, 2, 1, checks, 5, {"slow": "it blocks"})
    assert WorkerStatus.parse(status.dump()) == status


def test_what_a_newer_worker_tells_besides_is_left_out() -> None:
    status = WorkerStatus(7, 3.25, None)
    values = {**json.loads(status.dump()), "news": 1}
    del values["unwritten"]
    assert WorkerStatus.parse(json.dumps(values)) == status


def test_the_age_of_a_status_is_the_time_since_the_loop_was_seen_to_run() -> None:
    assert 10 <= WorkerStatus(7, time.monotonic() - 10, None).age < 20
