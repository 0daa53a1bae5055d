# SPDX-License-Identifier: MIT
import asyncio
import json
from typing import Any

import pytest

from ashapp.bridge.messages.types import Message, Receive, Scope, Send
from ashapp.server.health.state import Health, Phase
from ashapp.server.middleware.front import Front


class Application:
    """Notes what it is called with."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})


def probes(phase: Phase = Phase.RUNNING) -> tuple[Front, Application]:
    app = Application()
    health = Health(phase)
    return Front(app, health, {"/livez": health.liveness, "/readyz": health.readiness}), app


async def call(app: Front, path: str, method: str = "GET", **scope: Any) -> tuple[Message, bytes]:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("a probe reads no request body")

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, "headers": [], **scope}, receive, send)
    return (sent[0], sent[1]["body"]) if sent else ({}, b"")


@pytest.mark.parametrize(
    ("phase", "path", "status", "content"),
    [
        (Phase.STARTING, "/livez", 200, {"status": "ok"}),
        (Phase.STARTING, "/readyz", 503, {"status": "unavailable", "reason": "starting"}),
        (Phase.RUNNING, "/readyz", 200, {"status": "ok"}),
        (Phase.DRAINING, "/livez", 200, {"status": "ok"}),
        (Phase.DRAINING, "/readyz", 503, {"status": "unavailable", "reason": "draining"}),
        (Phase.STOPPING, "/livez", 200, {"status": "ok"}),
        (Phase.STOPPING, "/readyz", 503, {"status": "unavailable", "reason": "stopping"}),
    ],
)
async def test_a_probe_tells_the_phase(phase: Phase, path: str, status: int, content: dict[str, str]) -> None:
    app, behind = probes(phase)
    start, body = await call(app, path)
    assert start["status"] == status
    assert json.loads(body) == content
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": str(len(body)).encode(),
        b"cache-control": b"no-store",
    }
    assert behind.scopes == []


@pytest.mark.parametrize(
    ("method", "status", "field", "content"),
    [
        ("HEAD", 200, (b"content-length", b"15"), b""),
        ("POST", 405, (b"allow", b"GET, HEAD"), b'{"status":"method not allowed"}'),
        ("OPTIONS", 405, (b"allow", b"GET, HEAD"), b'{"status":"method not allowed"}'),
    ],
)
async def test_a_probe_is_only_looked_at(
    method: str, status: int, field: tuple[bytes, bytes], content: bytes
) -> None:
    app, _ = probes()
    start, body = await call(app, "/livez", method)
    assert (start["status"], body) == (status, content)
    assert field in start["headers"]


@pytest.mark.parametrize(
    ("path", "root_path", "answered"),
    [
        ("/api/livez", "/api", True),
        ("/livez", "/api", True),
        ("/apilivez", "/api", False),
        ("/api/livez", "", False),
        ("/api/api/livez", "/api", False),
        ("/livez/", "", False),
        ("/", "", False),
    ],
)
async def test_a_probe_is_looked_up_below_the_root_path(path: str, root_path: str, *, answered: bool) -> None:
    app, behind = probes()
    start, _ = await call(app, path, root_path=root_path)
    assert bool(start) is answered
    assert [scope["path"] for scope in behind.scopes] == ([] if answered else [path])


async def test_the_first_condition_that_fails_is_told() -> None:
    app, _ = probes()
    app.health.conditions += [lambda: None, lambda: "saturated", lambda: "no database"]
    _, body = await call(app, "/readyz")
    assert json.loads(body)["reason"] == "saturated"
    app.health.phase = Phase.DRAINING
    _, body = await call(app, "/readyz")
    assert json.loads(body)["reason"] == "draining"


async def test_readiness_follows_the_lifespan() -> None:
    app, _ = probes(Phase.STARTING)
    messages: asyncio.Queue[Message] = asyncio.Queue()
    phases = []

    async def send(message: Message) -> None:
        phases.append((message["type"], app.health.phase))

    messages.put_nowait({"type": "lifespan.startup"})
    messages.put_nowait({"type": "lifespan.shutdown"})
    await app({"type": "lifespan"}, messages.get, send)
    assert phases == [
        ("lifespan.startup.complete", Phase.RUNNING),
        ("lifespan.shutdown.complete", Phase.STOPPING),
    ]


async def test_a_worker_whose_startup_failed_is_never_ready() -> None:
    failed = {"type": "lifespan.startup.failed", "message": "no database"}
    sent: list[Message] = []

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await send(failed)

    async def send(message: Message) -> None:
        sent.append(message)

    health = Health()
    await Front(failing, health, {})({"type": "lifespan"}, asyncio.Queue[Message]().get, send)
    assert (sent, health.readiness()) == ([failed], "starting")


async def test_websockets_are_passed_on() -> None:
    app, behind = probes()
    assert await call(app, "/livez", type="websocket") == ({}, b"")
    assert [scope["type"] for scope in behind.scopes] == ["websocket"]
