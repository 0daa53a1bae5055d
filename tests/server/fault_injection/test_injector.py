# SPDX-License-Identifier: MIT
import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.observe.observer import Observer
from ashapp.server.fault_injection import effects
from ashapp.server.fault_injection.board import FaultBoard
from ashapp.server.fault_injection.fault import Block, Cpu, Crash, Error, Fault, Latency, Memory, Unready
from ashapp.server.fault_injection.injector import Injector
from tests.support.asgi import Client, fetch
from tests.support.waiting import eventually


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


class Service:
    """A worker with faults, and what is observed of its requests."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.injector = Injector(answer, self.registry)
        self.board = FaultBoard()
        self.board.changed = lambda: self.injector.take(self.board.orders(7))
        self.seen: list[Any] = []
        self.app = Observer(self.injector, [self.seen.append])

    def ask(self, fault: Fault) -> str:
        return self.board.add(fault, [7]).id

    async def get(self, path: bytes = b"/", **entries: Any) -> Client:
        return await fetch(self.app, "GET", path, **entries)

    def count(self, kind: str) -> float:
        return self.registry.get_sample_value("ashapp_faults_total", {"ashapp_fault": kind}) or 0.0


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    made = Service()
    await made.injector.start()
    yield made
    await made.injector.stop()
    await eventually(lambda: not [thread for thread in threading.enumerate() if "-fault-" in thread.name])


async def test_requests_of_a_route_are_answered_with_an_error() -> None:
    async with service() as made:
        fault = made.ask(Error(status=503, route="/users/<id>"))
        assert (await made.get(b"/")).status == 200
        failed = await made.get(b"/root/users/7", root_path="/root")
        assert (failed.status, failed.headers["content-type"]) == (503, "application/problem+json")
        assert (made.seen[-1].route, made.seen[-1].place) == ("/users/<id>", "fault")
        assert made.count("error") == 1
        made.board.clear(fault)
        assert (await made.get(b"/users/7")).status == 200


async def test_a_rate_is_a_share_of_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    chances = iter([0.0, 0.3, 0.49, 0.5, 0.99])
    monkeypatch.setattr("ashapp.server.fault_injection.injector._chance.random", lambda: next(chances))
    async with service() as made:
        made.ask(Error(rate=0.5))
        assert [(await made.get()).status for _ in range(5)] == [500, 500, 500, 200, 200]


async def test_requests_are_late_and_may_then_fail() -> None:
    async with service() as made:
        made.ask(Latency(seconds=0.05, jitter=0.01))
        began = time.monotonic()
        assert (await made.get()).status == 200
        assert time.monotonic() - began > 0.04
        made.ask(Error())
        assert (await made.get()).status == 500
        assert made.count("latency") == 2


async def test_the_handshake_of_a_websocket_is_denied() -> None:
    async with service() as made:
        made.ask(Error())
        client = Client(more=True)
        client.say()
        scope = {"type": "websocket", "path": "/", "headers": []}
        await made.app(scope, client.receive, client.send)
        assert [message["type"] for message in client.sent] == ["websocket.close"]
        assert made.seen[-1].place == "fault"


async def test_a_worker_is_not_ready_until_its_fault_expires(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as made:
        fault = made.ask(Unready(duration=0.2))
        assert made.injector.unready() == f"the injected fault {fault}"
        await eventually(lambda: made.injector.unready() is None)
        await eventually(lambda: f"Fault {fault} is over" in caplog.messages)
        assert caplog.messages[0].startswith(f"Fault {fault} begins, as requested: unready, for 0.")
        assert made.count("unready") == 1


async def test_a_blocked_loop_is_freed_when_its_fault_is_cleared() -> None:
    async with service() as made:
        fault = made.ask(Block(duration=600))
        timer = threading.Timer(0.2, made.board.clear, [fault])
        timer.start()
        await asyncio.sleep(0.1)
        timer.join()
        assert made.injector.unready() is None


@pytest.mark.parametrize("fault", [Cpu(threads=2), Memory(mib=8)])
async def test_a_processor_or_memory_is_used_until_the_fault_is_cleared(fault: Fault) -> None:
    async with service() as made:
        made.ask(fault)
        assert (await made.get()).status == 200
        await eventually(lambda: made.count(fault.kind) == 1)
        made.board.clear()


async def test_memory_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(effects, "_MIB", 1 << 62)
    async with service() as made:
        fault = made.ask(Memory(mib=1))
        await eventually(lambda: f"Fault {fault}: there is no memory for more than 0 MiB" in caplog.messages)


async def test_a_worker_that_crashes_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[object] = []
    monkeypatch.setattr("ashapp.server.fault_injection.effects.os.kill", lambda *args: ends.append(args))
    monkeypatch.setattr("ashapp.server.fault_injection.effects.os._exit", ends.append)
    async with service() as made:
        made.ask(Crash())
        await eventually(lambda: len(ends) == 2)
        assert made.count("crash") == 1


async def test_nothing_is_taken_by_a_worker_that_does_not_serve() -> None:
    made = Service()
    made.ask(Unready())
    assert made.injector.unready() is None
