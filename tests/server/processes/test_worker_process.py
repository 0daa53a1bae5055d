# SPDX-License-Identifier: MIT
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from typing import Any

import pytest
import uvicorn

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.health.stalls import LocalBeats
from ashapp.server.health.state import Health, Phase
from ashapp.server.inspection.announcements import Kind
from ashapp.server.processes import worker_process
from ashapp.server.processes.worker_process import Blocking, Order, Report, WorkerServer, work
from ashapp.server.settings.loading import load
from tests.support.client import fetch
from tests.support.waiting import PATIENCE, until


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


class Running:
    """A worker's server on a thread, and its supervisor's end of the channel."""

    def __init__(self, **flags: Any) -> None:
        settings = load({"stall_timeout": 0, **flags})
        config = uvicorn.Config(application, log_config=None, lifespan="on", ws="none")
        self.server = WorkerServer(config, settings, Health(Phase.RUNNING))
        self.channel, self.server.channel = Pipe()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))
        self.thread.start()

    def next_report(self) -> tuple[Report, str]:
        assert self.channel.poll(PATIENCE), "no report"
        report: tuple[Report, str] = self.channel.recv()
        return report

    def has_ended(self) -> bool:
        self.thread.join(PATIENCE)
        return not self.thread.is_alive()


@pytest.fixture
def abandoned(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(worker_process, "abandon_after", seconds.append)
    return seconds


@pytest.fixture
def worker(abandoned: list[float]) -> Iterator[Running]:
    running = Running(drain_delay=600, limit_max_requests=2)
    assert running.next_report() == (Report.READY, "")
    yield running
    running.server.hurry()
    assert running.has_ended()
    running.channel.close()
    running.server.channel.close()


def test_a_worker_retires_when_it_is_told_to(worker: Running, abandoned: list[float]) -> None:
    worker.channel.send(Order.RETIRE)
    assert worker.has_ended()
    assert abandoned == [21]


def test_a_worker_drains_and_hurries_when_it_is_told_to(worker: Running) -> None:
    worker.channel.send(Order.DRAIN)
    until(lambda: worker.server.health.phase is Phase.DRAINING)
    assert fetch(worker.address, "/").head.one("connection") == "close"
    worker.channel.send(Order.HURRY)
    assert worker.has_ended()


def test_a_worker_without_a_supervisor_ends(worker: Running) -> None:
    worker.channel.close()
    until(lambda: worker.server.health.phase is Phase.DRAINING)
    worker.server.report(Report.WORN, "to nobody")


def test_a_worker_tells_of_its_stacks(worker: Running, caplog: pytest.LogCaptureFixture) -> None:
    worker.channel.send(Order.TELL)
    assert worker.next_report() == (Report.TOLD, "")
    assert "The event loop does not answer. What its threads run:" in caplog.text


def test_a_worker_keeps_off_its_loop_what_has_blocked_those_of_others(worker: Running) -> None:
    kept: list[str] = []
    worker.channel.send(Blocking("no use"))
    worker.channel.send(Order.TELL)
    assert worker.next_report() == (Report.TOLD, "")
    worker.server.health.keep_off = kept.append
    worker.channel.send(Blocking("slow"))
    until(lambda: kept == ["slow"])


def test_a_worker_asks_to_be_replaced_when_it_is_worn(worker: Running) -> None:
    for _ in range(2):
        fetch(worker.address, "/")
    assert worker.next_report() == (Report.WORN, "it has answered 2 requests, of at most 2")
    # It serves on until it is replaced.
    assert fetch(worker.address, "/").status == 204


def test_a_worker_that_is_terminated_asks_to_be_replaced(worker: Running) -> None:
    worker.server._terminate(signal.SIGTERM, None)
    assert worker.next_report() == (Report.WORN, "it got SIGTERM")
    assert fetch(worker.address, "/").status == 204


def test_orders_after_the_end_are_of_no_use(worker: Running) -> None:
    worker.channel.send(Order.RETIRE)
    assert worker.has_ended()
    worker.channel.send(Order.RETIRE)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "ashapp-orders"])


def test_signals_of_the_whole_group_are_left_to_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(worker_process, "handle", handlers.__setitem__)
    server = WorkerServer(uvicorn.Config(application, log_config=None), load({}), Health())
    server.handle_signals()
    handlers.pop(signal.SIGINT)(signal.SIGINT, None)
    assert not server.should_exit
    assert handlers == {signal.SIGTERM: server._terminate, signal.SIGQUIT: server._terminate}


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """Return a channel for a worker in this process, whose standard input and signals stay as they are."""
    for name in ("outlive", "handle"):
        monkeypatch.setattr(worker_process, name, lambda *_: None)
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    channel, theirs = Pipe()
    yield channel, theirs
    channel.close()
    theirs.close()


def make(**flags: Any) -> WorkerServer:
    settings = load(flags)
    config = uvicorn.Config(settings.app, log_config=None, interface="asgi3", proxy_headers=False)
    return WorkerServer(config, settings, Health())


def test_a_worker_process_serves_and_tells_of_its_application(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[Any, Any]
) -> None:
    seen: dict[str, Any] = {}

    def run(server: WorkerServer, sockets: list[socket.socket]) -> None:
        seen.update(
            channel=server.channel,
            beats=server.health.beats,
            sockets=sockets,
            app=server.config.loaded_app,
        )

    monkeypatch.setattr(WorkerServer, "run", run)
    server, beats, pulse = make(), LocalBeats(), LocalBeats()
    work(server, [], pipe[1], beats, pulse)
    assert seen.pop("app").health is server.health
    assert seen == {"channel": pipe[1], "beats": beats, "sockets": []}
    assert sys.stdin.fileno() == 0
    kind, line = pipe[0].recv()
    assert kind is Kind.SERVING
    assert line.startswith("Serving ashapp.api:create_app() on ")


def test_a_worker_that_may_not_serve_its_application_says_why_and_ends(
    pipe: tuple[Any, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        work(make(app="nowhere"), [], pipe[1], LocalBeats(), LocalBeats())
    assert caught.value.code == 2
    report, reason = pipe[0].recv()
    assert report is Report.REFUSED
    assert reason.startswith("there is no module 'nowhere'")
    assert capfd.readouterr().err == ""
