# SPDX-License-Identifier: MIT
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from ashapp.server.errors import StartupError
from ashapp.server.inspection.announcements import Kind
from ashapp.server.processes.reloader import Reloader
from ashapp.server.processes.worker_handle import Blocking, Order, Report, State, Worker
from tests.support.waiting import PATIENCE, until


class StubWorker(Worker):
    """A worker without a process: a test says what it reports, and how it ends."""

    def __init__(self, pid: int) -> None:
        self.channel, self.theirs = Pipe()
        self._sentinel, self._life = os.pipe()
        self.process: Any = SimpleNamespace(sentinel=self._sentinel)
        self.is_silent, self.refusal, self.state = False, None, State.STARTING
        self.number, self.code = pid, 0
        self.orders: list[Order | Blocking] = []
        self.obeys = self.lives = True

    @property
    def pid(self) -> int:
        return self.number

    @property
    def exit_code(self) -> int | None:
        return self.code

    def report(self, *reports: tuple[Report | Kind, str]) -> None:
        for report in reports:
            self.theirs.send(report)

    def order(self, order: Order | Blocking) -> None:
        self.orders.append(order)
        if self.obeys and self.lives:
            self.end_with(0)

    def kill(self) -> None:
        self.end_with(-9)

    def end_with(self, code: int) -> None:
        self.code, self.lives = code, False
        self.theirs.close()
        os.close(self._life)

    def bury(self) -> str:
        self.channel.close()
        os.close(self._sentinel)
        return f"ended with exit code {self.code}"


class Reloading:
    """A reloader on a thread, for files below a folder."""

    def __init__(self, folder: Path, seconds: float, **options: Any) -> None:
        self.workers: list[StubWorker] = []
        self.forgotten: list[int] = []
        self.outcome: list[int | str] = []
        settings: dict[str, Any] = {"reload_dirs": [str(folder)], "reload_delay": 0.01, **options}
        config = uvicorn.Config("shop", log_config=None, reload=True, **settings)
        self.reloader = Reloader(config, self.start, seconds, ["and metrics"], self.forgotten.append)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        until(lambda: self.workers)

    def _run(self) -> None:
        try:
            self.outcome.append(self.reloader.run())
        except StartupError as error:
            self.outcome.append(error.message)

    def start(self) -> Worker:
        self.workers.append(StubWorker(100 + len(self.workers)))
        return self.workers[-1]

    def has(self, count: int) -> None:
        until(lambda: len(self.workers) == count)

    def result(self) -> int | str:
        self.thread.join(PATIENCE)
        (outcome,) = self.outcome
        return outcome


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    found: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", found.__setitem__)
    return found


@pytest.fixture
def reloading(
    tmp_path: Path, handlers: dict[int, Any], caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> Iterator[Reloading]:
    caplog.set_level(logging.INFO, "ashapp.server")
    (tmp_path / "shop.py").write_text("")
    running = Reloading(tmp_path, **{"seconds": 60, **getattr(request, "param", {})})
    yield running
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    running.thread.join(PATIENCE)
    assert not running.thread.is_alive()


def touch_until(path: Path, condition: Callable[[], object]) -> None:
    """Change a file until that has been noticed: what changes before it is watched is not."""

    def changed() -> object:
        path.write_text(path.read_text() + "\n")
        return condition()

    until(changed)


def test_a_changed_file_replaces_the_process(
    reloading: Reloading, tmp_path: Path, handlers: dict[int, Any], caplog: pytest.LogCaptureFixture
) -> None:
    first = reloading.workers[0]
    first.report((Kind.SERVING, "Serving shop"), (Report.READY, ""))
    until(lambda: len(caplog.messages) == 3)
    assert caplog.messages == [
        "Serving shop",
        "and metrics",
        f"Reloading when a file changes in {tmp_path}",
    ]
    touch_until(tmp_path / "shop.py", lambda: len(reloading.workers) > 1)
    assert first.orders == [Order.DRAIN]
    assert reloading.forgotten[0] == 100
    handlers[signal.SIGINT](signal.SIGINT, None)
    assert reloading.result() == 0
    assert reloading.workers[-1].orders == [Order.DRAIN]


@pytest.mark.parametrize(
    ("reports", "code", "outcome"),
    [
        ([(Report.REFUSED, "there is no module 'shop'")], 2, "there is no module 'shop'"),
        ([(Kind.SERVING, "Serving shop")], 3, 3),
    ],
)
def test_a_first_process_that_can_not_start_ends_the_service(
    reloading: Reloading, reports: list[tuple[Any, str]], code: int, outcome: int | str
) -> None:
    reloading.workers[0].report(*reports)
    reloading.workers[0].end_with(code)
    assert reloading.result() == outcome
    assert len(reloading.workers) == 1


def test_a_later_process_that_can_not_start_waits_for_a_change(
    reloading: Reloading, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reloading.workers[0].report((Report.READY, ""))
    touch_until(tmp_path / "shop.py", lambda: len(reloading.workers) > 1)
    broken = reloading.workers[-1]
    broken.report((Report.REFUSED, "importing 'shop' failed"))
    broken.end_with(2)
    until(lambda: "importing 'shop' failed" in caplog.messages)
    count = len(reloading.workers)
    touch_until(tmp_path / "shop.py", lambda: len(reloading.workers) > count)
    reloading.workers[-1].end_with(-11)
    pid = reloading.workers[-1].pid
    until(
        lambda: (
            f"Worker {pid} ended with exit code -11; another is started when a file changes"
            in caplog.messages
        )
    )


@pytest.mark.parametrize("reloading", [{"seconds": 0}], indirect=True)
def test_a_process_that_does_not_end_is_killed(
    reloading: Reloading, handlers: dict[int, Any], caplog: pytest.LogCaptureFixture
) -> None:
    reloading.workers[0].obeys = False
    reloading.workers[0].report((Report.READY, ""))
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert reloading.result() == 0
    assert "Worker 100 takes too long to end; it is killed" in caplog.messages


@pytest.mark.parametrize("reloading", [{"reload_includes": ["*.log"]}], indirect=True)
def test_the_log_itself_is_no_file_that_changes(
    reloading: Reloading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other.log"
    other.touch()
    with (tmp_path / "own.log").open("w") as log:
        monkeypatch.setattr(sys, "__stderr__", log)

        def reloaded() -> bool:
            print("a line", file=log, flush=True)
            return any("other.log" in message for message in caplog.messages)

        touch_until(other, reloaded)
    assert not [message for message in caplog.messages if "own.log" in message]
    assert logging.getLogger("watchfiles").level == logging.WARNING
