# SPDX-License-Identifier: MIT
import logging
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import uvicorn

from ashapp.server.errors import StartupError
from ashapp.server.supervisors.reloader import Reloader
from ashapp.server.supervisors.worker_process import Order, Report
from tests.server.supervisors.stub_worker import Service, led
from tests.support.waiting import until


@pytest.fixture
def service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Service]:
    """Return a service that is reloaded when a file below the test's folder changes."""
    caplog.set_level(logging.INFO, "ashapp.server")
    files = {"reload_dirs": [str(tmp_path)], "reload_includes": ["*.log"], "reload_delay": 0.01}
    config = uvicorn.Config("shop", log_config=None, reload=True, **files)  # type: ignore[arg-type]
    made = Service(partial(Reloader, config), workers=1)
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)}
    yield made
    for signum, handler in before.items():
        signal.signal(signum, handler)
    made.close()


def change(service: Service) -> None:
    assert isinstance(service.supervisor, Reloader)
    service.supervisor._changed.set()
    service.act()


def test_a_changed_file_replaces_the_process_when_it_has_ended(service: Service) -> None:
    (first,) = service.begin()
    first.reported(Report.BLOCKED, "slow")
    for _ in range(2):
        change(service)
    assert service.states == {100: "DRAINING"}
    assert first.orders == [(Order.DRAIN, "")]
    service.ended(first, 0)
    assert service.states == {101: "STARTING"}
    assert service.management.forgotten == [100]
    assert service.options.blocks == {}


@pytest.mark.parametrize(("reason", "code"), [("there is no module 'shop'", 2), ("", 3)])
def test_a_first_process_that_can_not_start_ends_the_service(
    service: Service, reason: str, code: int
) -> None:
    service.act()
    if reason:
        service.started[0].reported(Report.REFUSED, reason)
    service.started[0].end_with(code)
    if reason:
        with pytest.raises(StartupError, match=reason):
            service.supervisor.run()
    else:
        assert service.supervisor.run() == code
    assert len(service.started) == 1


def test_a_later_process_that_ends_waits_for_a_change(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    (first,) = service.begin()
    service.ended(first, -11)
    assert service.states == {}
    assert caplog.messages == ["Worker 100 ended with exit code -11; another is started when a file changes"]
    change(service)
    service.started[1].reported(Report.REFUSED, "importing 'shop' failed")
    service.ended(service.started[1], 2)
    assert service.states == {}
    assert caplog.messages[-1] == "importing 'shop' failed"


def test_a_process_may_be_slow_but_not_to_end(service: Service) -> None:
    service.act()
    (first,) = service.started
    first.deadline = 0
    service.ready(first)
    first.has_stalled = True
    first.reported(Report.RECYCLE, "it has answered 9 requests")
    service.act()
    assert service.states == {100: "READY"}
    change(service)
    for _ in range(2):
        first.deadline = 0
        service.act()
    assert first.orders == [(Order.DRAIN, ""), (Order.HURRY, "")]
    service.act()
    assert service.states == {101: "STARTING"}


def test_a_process_that_has_not_begun_to_serve_is_ended_at_once(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.act()
    change(service)
    service.act()
    assert service.states == {101: "STARTING"}
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_files_are_watched_but_for_the_log_itself(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other.log"
    other.touch()
    with (tmp_path / "own.log").open("w") as log:
        monkeypatch.setattr(sys, "__stderr__", log)

        def is_reloaded() -> bool:
            print("a line", file=log, flush=True)
            other.write_text(other.read_text() + "\n")
            return bool(service.started[0].orders)

        def lead() -> None:
            until(lambda: service.started)
            until(is_reloaded)
            service.started[0].end_with(0)
            until(lambda: len(service.started) == 2)
            os.kill(os.getpid(), signal.SIGTERM)
            until(lambda: service.started[1].orders)
            service.started[1].end_with(0)

        with led(lead):
            assert service.supervisor.run() == 0
    assert f"Reloading, as files have changed: {other}" in caplog.messages
    assert not any("own.log" in message for message in caplog.messages)
    assert logging.getLogger("watchfiles").level == logging.WARNING
