# SPDX-License-Identifier: MIT
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from ashapp.server.health.state import Health
from ashapp.server.processes.worker_handle import Order, Report, State, Worker
from ashapp.server.processes.worker_process import WorkerServer
from ashapp.server.settings.loading import load
from tests.support.waiting import until


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def start(listener: socket.socket, **flags: Any) -> Worker:
    settings = load({"drain_delay": 0, "stall_timeout": 60, **flags})
    config = uvicorn.Config(settings.app, log_config=None, interface="asgi3")
    return Worker(WorkerServer(config, settings, Health()), [listener], None)


def wait_for(started: Worker, report: Report) -> None:
    seen: list[object] = []

    def look() -> bool:
        seen.extend(kind for kind, _ in started.reports())
        return report in seen

    until(look)


def test_a_worker_starts_obeys_and_ends(listener: socket.socket) -> None:
    began = time.monotonic()
    started = start(listener)
    assert (started.state, started.task, started.exit_code) == (State.STARTING, "start", None)
    assert 55 < started.deadline - began < 70
    assert not started.is_overdue
    wait_for(started, Report.READY)
    assert not started.is_stalled
    assert not started.can_not_start
    assert min(started._beats.value, started._pulse.value) > 0
    started.end(Order.RETIRE, seconds=30)
    assert (started.state, started.task) == (State.ENDING, "end")
    assert not started.is_overdue
    pid = started.pid
    assert pid
    assert not started.is_silent
    until(lambda: list(started.reports()) == [] and started.is_silent)
    assert started.bury() == "ended with exit code 0"
    assert list(started.reports()) == []
    started.order(Order.HURRY)


def test_a_worker_that_is_condemned_has_last_words(
    listener: socket.socket, capfd: pytest.CaptureFixture[str]
) -> None:
    started = start(listener)
    wait_for(started, Report.READY)
    started.condemn(0)
    assert started.state is State.CONDEMNED
    assert started.is_overdue
    wait_for(started, Report.TOLD)
    started.abort(60)
    assert started.is_aborted
    assert not started.is_overdue
    assert started.bury() == f"was ended by {signal.SIGABRT.name}"
    assert "Fatal Python error: Aborted" in capfd.readouterr().err


def test_a_worker_that_is_gone_is_no_trouble(listener: socket.socket) -> None:
    started = start(listener, stall_timeout=0)
    assert not started.is_stalled
    started.kill()
    assert started.is_killed
    assert not started.is_overdue
    started.process.join()
    assert list(started.reports()) == []
    started.order(Order.DRAIN)
    started.abort(1)
    assert started.bury() == "was ended by SIGKILL"
