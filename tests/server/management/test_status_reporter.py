# SPDX-License-Identifier: MIT
import errno
import os
import threading
import time
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry

from ashapp.bridge.concurrency.thread_pool import ThreadPool
from ashapp.observe.metrics.requests import RequestMetrics
from ashapp.server.health.readiness_runner import Outcome
from ashapp.server.health.state import Health, Phase
from ashapp.server.management.status_reporter import Reporter
from ashapp.server.management.worker_status import Status
from tests.support.waiting import PATIENCE, until


class Board:
    def __init__(self) -> None:
        self.written: list[Status] = []
        self.withdrawn: list[int] = []

    def write(self, status: Status) -> None:
        self.written.append(status)

    def withdraw(self, pid: int) -> None:
        self.withdrawn.append(pid)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> RequestMetrics:
    return RequestMetrics(registry)


def lags(registry: CollectorRegistry, bound: str = "+Inf") -> float:
    return registry.get_sample_value("ashapp_event_loop_lag_seconds_bucket", {"le": bound}) or 0


def test_a_status_tells_of_requests_threads_and_checks(metrics: RequestMetrics) -> None:
    health, threads = Health(Phase.RUNNING), ThreadPool(1)
    outcomes = [Outcome("database", None, 0.1, 1.0)]
    reporter = Reporter(health, threads, metrics, lambda: outcomes)
    metrics.begun, metrics.ended = 5, 2
    go = threading.Event()
    try:
        jobs = [threads.call(lambda: go.wait(PATIENCE)) for _ in range(3)]
        until(lambda: threads.queued == 2)
        status = reporter.status()
        assert status == Status(os.getpid(), 0.0, None, 3, 2, 1, 1, outcomes)
    finally:
        go.set()
    assert all(job.result(PATIENCE) for job in jobs)
    health.phase = Phase.DRAINING
    assert reporter.status().reason == "draining"


async def test_beats_are_measured_and_the_status_written_between_start_and_stop(
    metrics: RequestMetrics, registry: CollectorRegistry
) -> None:
    board = Board()
    reporter = Reporter(Health(Phase.RUNNING), ThreadPool(1), metrics)
    reporter.board = board
    reporter.beat(1.0)
    assert not reporter.is_running
    before = time.monotonic()
    await reporter.start()
    assert reporter.is_running
    for lag in (0.0, 0.05, 0.2):
        reporter.beat(lag)
    assert (lags(registry), lags(registry, "0.1")) == (4, 3)
    assert len(board.written) == 1, "once a second"
    assert before <= board.written[0].beat <= time.monotonic()
    await reporter.stop()
    assert not reporter.is_running
    reporter.beat(1.0)
    assert lags(registry) == 4
    await reporter.stop()
    assert board.withdrawn == [os.getpid()]


class FailingBoard(Board):
    """One that can be written to while it is not full."""

    is_full = True

    def write(self, status: Status) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(status)

    def withdraw(self, pid: int) -> None:
        raise OSError(errno.EMFILE, "Too many open files")


async def test_what_fails_is_told_once_and_tried_again_and_ends_nothing(
    metrics: RequestMetrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ashapp.server.management.status_reporter._INTERVAL", 0)
    caplog.set_level("INFO")
    board = FailingBoard()
    reporter = Reporter(Health(Phase.RUNNING), ThreadPool(1), metrics)
    reporter.board = board
    await reporter.start()
    reporter.beat(0.0)
    board.is_full = False
    reporter.beat(0.0)
    assert len(board.written) == 1
    await reporter.stop()
    assert not reporter.is_running
    told, again, withdrawn = caplog.messages
    assert told.startswith("The worker can't write its status: OSError: [Errno 28] No space left on device")
    assert again == "The worker can write its status again"
    assert "Too many open files" in withdrawn


async def test_values_without_room_are_told_and_counted(
    metrics: RequestMetrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ashapp.server.management.status_reporter.unwritten", lambda: 7)
    board = Board()
    reporter = Reporter(Health(Phase.RUNNING), ThreadPool(1), metrics)
    reporter.board = board
    await reporter.start()
    await reporter.stop()
    assert board.written[0].unwritten == 7
    assert "the folder of the workers has no room for 7 values of metrics" in caplog.text


async def test_what_the_protocols_have_refused_is_counted_until_the_end(
    metrics: RequestMetrics, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Counter({431: 2})
    monkeypatch.setattr("ashapp.server.management.status_reporter.refused", refused)
    reporter = Reporter(Health(Phase.RUNNING), ThreadPool(1), metrics)
    await reporter.start()
    labels = {"http_response_status_code": "431"}
    assert registry.get_sample_value("ashapp_requests_refused_total", labels) == 2
    refused[431] += 1
    await reporter.stop()
    assert registry.get_sample_value("ashapp_requests_refused_total", labels) == 3
