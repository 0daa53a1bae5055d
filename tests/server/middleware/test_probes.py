# SPDX-License-Identifier: MIT
import asyncio
import json
from typing import Any

import pytest

from ashapp.bridge.messages.types import Message, Receive, Scope, Send
from ashapp.server.health.state import Health, Phase
from ashapp.server.middleware.probes import Probes


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


def probes(phase: Phase = Phase.RUNNING) -> tuple[Probes, Application]:
    app = Application()
    health = Health(phase)
    return Probes(app, health, {"/livez": health.liveness, "/readyz": health.readiness}), app


async def no_message() -> Message:
    raise AssertionError("a probe reads no request body")


async def call(app: Probes, path: str, method: str = "GET", **scope: Any) -> tuple[Message, bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path, **scope}, no_message, send)
    if not sent:
        return {}, b""
    start, body = sent
    return start, body["body"]


@pytest.mark.parametrize(
    ("phase", "path", "status", "content"),
    [
        (Phase.STARTING, "/livez", 200, {"status": "ok"}),
        (Phase.STARTING, "/readyz", 503, {"status": "unavailable", "reason": "starting"}),
        (Phase.RUNNING, "/readyz", 200, {"status": "ok"}),
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


async def test_head_is_answered_without_a_body() -> None:
    app, _ = probes()
    start, body = await call(app, "/livez", "HEAD")
    assert start["status"] == 200
    assert dict(start["headers"])[b"content-length"] == b"15"
    assert body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_not_allowed(method: str) -> None:
    app, _ = probes()
    start, body = await call(app, "/livez", method)
    assert start["status"] == 405
    assert dict(start["headers"])[b"allow"] == b"GET, HEAD"
    assert json.loads(body) == {"status": "method not allowed"}


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
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    health = Health()
    await Probes(failing, health, {})({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert health.readiness() == "starting"


async def test_websockets_are_passed_on() -> None:
    app, behind = probes()

    async def send(message: Message) -> None:
        raise AssertionError("nothing to send")

    await app({"type": "websocket", "path": "/livez"}, no_message, send)
    assert [scope["type"] for scope in behind.scopes] == ["websocket"]
