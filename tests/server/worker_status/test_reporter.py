# SPDX-License-Identifier: MIT
import errno
import os
import threading
import time
from collections import Counter

import pytest
from prometheus_client import CollectorRegistry
from werkzeug.exceptions import NotFound

from ashapp.bridge import WsgiToAsgi
from ashapp.observe.observation import Observation
from ashapp.server.health.readiness_runner import Outcome
from ashapp.server.health.state import Health, Phase
from ashapp.server.worker_status.reporter import StatusReporter
from ashapp.server.worker_status.workers import LOAD, Workers, WorkerStatus
from tests.support.asgi import Client, http_scope
from tests.support.waiting import PATIENCE, until


class Board(Workers):
    """Keeps what is told of a worker, while it is not full."""

    def __init__(self, *, is_full: bool = False) -> None:
        super().__init__()
        self.is_full = is_full
        self.written: list[WorkerStatus] = []
        self.withdrawn: list[int] = []

    def write(self, status: WorkerStatus) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.written.append(status)

    def withdraw(self, pid: int) -> None:
        self.withdrawn.append(pid)


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def reporter(board: Board) -> StatusReporter:
    return StatusReporter(board, Health(Phase.RUNNING), WsgiToAsgi(NotFound(), threads=1))


def lags(registry: CollectorRegistry, bound: str = "+Inf") -> float:
    return registry.get_sample_value("ashapp_event_loop_lag_seconds_bucket", {"le": bound}) or 0


def test_a_status_tells_of_requests_threads_and_checks(board: Board) -> None:
    health, bridge = Health(Phase.RUNNING), WsgiToAsgi(NotFound(), threads=1)
    threads, outcomes = bridge.threads, [Outcome("database", None, 0.1, 1.0)]
    reporter = StatusReporter(board, health, bridge, lambda: outcomes)
    for _ in range(3):
        reporter.metrics.begin(Observation(http_scope(), Client().send, lambda _: None))
    go = threading.Event()
    try:
        jobs = [threads.call(lambda: go.wait(PATIENCE)) for _ in range(3)]
        until(lambda: threads.queued == 2)
        status = reporter.status()
        counts = {"active_requests": 3, "queued_requests": 2, "threads": 1, "busy_threads": 1}
        load = {**dict.fromkeys(LOAD, 0), "websocket_threads": 1, **counts}
        assert status == WorkerStatus(os.getpid(), 0.0, None, load, outcomes)
        assert list(status.load) == list(LOAD)
    finally:
        go.set()
    assert all(job.result(PATIENCE) for job in jobs)
    health.phase = Phase.DRAINING
    assert reporter.status().reason == "draining"


async def test_beats_are_measured_and_the_status_written_between_start_and_stop(
    board: Board, reporter: StatusReporter
) -> None:
    reporter.beat(1.0)
    before = time.monotonic()
    await reporter.start()
    for lag in (0.0, 0.05, 0.2):
        reporter.beat(lag)
    assert (lags(board.registry), lags(board.registry, "0.1")) == (4, 3)
    assert len(board.written) == 1, "once a second"
    assert before <= board.written[0].beat <= time.monotonic()
    await reporter.stop()
    reporter.beat(1.0)
    assert lags(board.registry) == 4
    await reporter.stop()
    assert board.withdrawn == [os.getpid()]


async def test_rates_are_those_since_the_last_status(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("ashapp.server.worker_status.reporter.time.monotonic", lambda: clock[-1])
    reporter = StatusReporter(board, Health(), WsgiToAsgi(NotFound()))
    reporter.tells_requests = True
    for now, count in ((110.0, 20), (112.0, 3)):
        clock.append(now)
        for _ in range(count):
            observation = Observation(http_scope(), Client().send, reporter.metrics.put)
            observation.status = 200
            observation.end()
        await reporter.start()
    await reporter.stop()
    assert [status.requests for status in board.written] == [
        [("", "server", 20, 2.0)],
        [("", "server", 23, 1.5)],
    ]


async def test_what_fails_is_told_once_and_tried_again_and_ends_nothing(
    board: Board,
    reporter: StatusReporter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("ashapp.server.worker_status.reporter._INTERVAL", 0)
    caplog.set_level("INFO")
    board.is_full = True
    await reporter.start()
    reporter.beat(0.0)
    board.is_full = False
    reporter.beat(0.0)
    assert len(board.written) == 1
    await reporter.stop()
    told, again = caplog.messages
    assert told.startswith("The worker can't write its status: OSError: [Errno 28] No space left on device")
    assert again == "The worker can write its status again"


async def test_what_others_have_counted_is_told(
    board: Board,
    reporter: StatusReporter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Values without room, and what the protocols have refused until the end."""
    refused = Counter({431: 2})
    monkeypatch.setattr("ashapp.server.worker_status.reporter.unwritten", lambda: 7)
    monkeypatch.setattr("ashapp.server.worker_status.reporter.refused", refused)
    name, labels = "ashapp_requests_refused_total", {"http_response_status_code": "431"}
    await reporter.start()
    assert board.written[0].load["unwritten_metrics"] == 7
    assert board.registry.get_sample_value(name, labels) == 2
    refused[431] += 1
    await reporter.stop()
    assert board.registry.get_sample_value(name, labels) == 3
    assert "the folder of the workers has no room for 7 values of metrics" in caplog.text
