# SPDX-License-Identifier: MIT
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ashapp.server.settings.loading import load
from ashapp.server.supervisors.worker import State, Worker
from ashapp.server.supervisors.worker_process import Order, Report, WorkerOptions
from tests.server.supervisors.forked import started
from tests.support.waiting import until


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@contextmanager
def start(listener: socket.socket, **flags: Any) -> Iterator[Worker]:
    given = {"drain_delay": 0, "stall_timeout": 60, **flags}
    with started("work", **given) as fork_server:
        yield Worker(WorkerOptions(load(given), [listener], Counter(), fork_server))


def wait_for(started: Worker, report: Report) -> None:
    seen: list[object] = []

    def look() -> bool:
        seen.extend(kind for kind, _ in started.reports())
        return report in seen

    until(look, 60)


def test_a_worker_that_is_stalled_has_last_words(
    listener: socket.socket, capfd: pytest.CaptureFixture[str]
) -> None:
    with start(listener) as started:
        wait_for(started, Report.READY)
        started.log_stacks(0)
        assert started.state is State.STALLED
        assert started.is_overdue
        wait_for(started, Report.STACKS_LOGGED)
        started.abort(60)
        assert (started.state, started.is_overdue) == (State.ABORTED, False)
        assert started.reap() == f"was ended by {signal.SIGABRT.name}"
        assert "Fatal Python error: Aborted" in capfd.readouterr().err


def test_a_worker_that_is_gone_is_no_trouble(listener: socket.socket) -> None:
    with start(listener, stall_timeout=0, timeout_worker_startup=90) as started:
        assert 0 < started.deadline - time.monotonic() <= 90
        assert not started.is_stalled
        started.kill()
        assert started.could_not_start
        assert not started.is_overdue
        started.process.join()
        assert list(started.reports()) == []
        started.order(Order.DRAIN)
        started.abort(1)
        assert started.reap() == "was ended by SIGKILL"
