# SPDX-License-Identifier: MIT
import random
import signal
import socket
import sys
import threading
from collections import Counter
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
from ashapp.server.processes.worker_process import Order, Report, WorkerOptions, WorkerServer, work
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
        settings = load({"stall_timeout": 0, "drain_delay": 600, **flags})
        config = uvicorn.Config(application, log_config=None, lifespan="on", ws="none")
        self.kept_off: list[str] = []
        self.health = Health(Phase.RUNNING, keep_off=self.kept_off.append)
        self.channel, self.theirs = Pipe()
        self.server = WorkerServer(config, settings, self.health, self.theirs)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))
        self.thread.start()
        assert self.next_report() == (Report.READY, "")

    def order(self, order: Order, text: str = "") -> None:
        self.channel.send((order, text))

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
def worker(abandoned: list[float], request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(**getattr(request, "param", {}))
    yield running
    running.server.hurry()
    assert running.has_ended()
    running.channel.close()
    running.theirs.close()


def test_a_worker_retires_when_it_is_told_to(worker: Running, abandoned: list[float]) -> None:
    worker.order(Order.RETIRE)
    assert worker.has_ended()
    assert abandoned == [21]
    worker.order(Order.RETIRE)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "ashapp-orders"])


def test_a_worker_drains_and_hurries_when_it_is_told_to(worker: Running) -> None:
    worker.order(Order.DRAIN)
    until(lambda: worker.health.phase is Phase.DRAINING)
    assert fetch(worker.address, "/").head.one("connection") == "close"
    worker.order(Order.HURRY)
    assert worker.has_ended()


def test_a_worker_without_a_supervisor_ends(worker: Running) -> None:
    worker.channel.close()
    until(lambda: worker.health.phase is Phase.DRAINING)
    worker.server.report(Report.WORN, "to nobody")


def test_orders_that_end_nothing(worker: Running, caplog: pytest.LogCaptureFixture) -> None:
    worker.order(Order.LOG_STACKS)
    assert worker.next_report() == (Report.STACKS_LOGGED, "")
    assert "The event loop does not answer. What its threads run:" in caplog.text
    worker.order(Order.KEEP_OFF, "slow")
    until(lambda: worker.kept_off == ["slow"])


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        (
            {"limit_max_requests": 2, "limit_max_requests_jitter": 1},
            "it has answered 3 requests, of at most 3",
        ),
        ({"limit_max_memory": 1}, "it holds "),
        ({}, "it got SIGTERM"),
    ],
    indirect=["worker"],
)
def test_a_worker_asks_to_be_replaced_and_serves_on(
    worker: Running, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    if "got" in reason:
        worker.server._terminate(signal.SIGTERM, None)
    for _ in range(3):
        fetch(worker.address, "/")
    report, text = worker.next_report()
    assert report is Report.WORN
    assert text.startswith(reason)
    assert fetch(worker.address, "/").status == 204


@pytest.fixture(autouse=True)
def _most_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "randint", lambda _, most: most)


def test_signals_of_the_whole_group_are_left_to_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(worker_process, "handle", handlers.__setitem__)
    channel, theirs = Pipe()
    with channel, theirs:
        server = WorkerServer(uvicorn.Config(application, log_config=None), load({}), Health(), theirs)
        server.handle_signals()
    handlers.pop(signal.SIGINT)(signal.SIGINT, None)
    assert not server.should_exit
    assert handlers == {signal.SIGTERM: server._terminate, signal.SIGQUIT: server._terminate}


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """Return a channel for a worker in this process, whose standard input and signals stay as they are."""
    for name in ("outlive", "handle", "count_on_thread"):
        monkeypatch.setattr(worker_process, name, lambda *_: None)
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    channel, theirs = Pipe()
    yield channel, theirs
    channel.close()
    theirs.close()


def options(**flags: Any) -> WorkerOptions:
    settings = load(flags)
    config = uvicorn.Config(settings.app, log_config=None, interface="asgi3", proxy_headers=False)
    return WorkerOptions(config, settings, [], Counter(slow=1))


def test_a_worker_process_serves_and_tells_of_its_application(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[Any, Any]
) -> None:
    ran: list[WorkerServer] = []
    monkeypatch.setattr(WorkerServer, "run", lambda server, _: ran.append(server))
    beats = LocalBeats()
    work(options(), pipe[1], beats, LocalBeats())
    (server,) = ran
    app: Any = server.config.loaded_app
    assert app.health is server.health
    assert (server.health.beats, server.health.blocks) == (beats, {"slow": 1})
    assert sys.stdin.fileno() == 0
    kind, line = pipe[0].recv()
    assert kind is Kind.SERVING
    assert line.startswith("Serving ashapp.api:create_app() on ")
    for listener in server.health.block_listeners:
        listener("slow")
    assert pipe[0].recv() == (Report.BLOCKED, "slow")


def test_a_worker_that_may_not_serve_its_application_says_why_and_ends(
    pipe: tuple[Any, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        work(options(app="nowhere"), pipe[1], LocalBeats(), LocalBeats())
    assert caught.value.code == 2
    report, reason = pipe[0].recv()
    assert report is Report.REFUSED
    assert reason.startswith("there is no module 'nowhere'")
    assert capfd.readouterr().err == ""
