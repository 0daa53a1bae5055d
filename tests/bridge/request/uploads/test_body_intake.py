# SPDX-License-Identifier: MIT
"""When requests with a body begin, by hand: bodies that come piece by piece, and few threads."""

import asyncio
import threading
from collections.abc import Iterable

import pytest

from ashapp.bridge.admission.free_memory import Memory
from ashapp.bridge.messages.types import Environ, StartResponse
from ashapp.bridge.request import body_intake as intake_module
from ashapp.bridge.request.body_intake import Intake
from ashapp.bridge.wsgi import WsgiToAsgi
from tests.support.asgi import Client, http_scope
from tests.support.waiting import PATIENCE, eventually

KIB = 1 << 10
SIZE = 100 * KIB
EXPECTED = ((b"expect", b"100-continue"),)
CHUNKED = ((b"transfer-encoding", b"chunked"),)


class Application:
    """Reads the body, waits until it is told to go on, and answers with what it has read."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.go_on = threading.Event()

    @property
    def begun(self) -> int:
        return len(self.calls)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.calls.append(1)
        data = environ["wsgi.input"].read()
        assert self.go_on.wait(PATIENCE)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % len(data)]


class Request:
    """A request whose body of *size* bytes is sent by hand."""

    def __init__(self, bridge: WsgiToAsgi, size: int = SIZE, *headers: tuple[bytes, bytes]) -> None:
        self.client = Client(more=True)
        self.left = size
        is_chunked = any(name == b"transfer-encoding" for name, _ in headers)
        length = [] if is_chunked else [(b"content-length", b"%d" % size)]
        head = [*length, *headers]
        self.task = asyncio.create_task(
            bridge(http_scope("POST", b"/", head), self.client.receive, self.client.send)
        )

    def send(self, size: int | None = None) -> "Request":
        size = self.left if size is None else size
        self.left -= size
        self.client.say(bytes(size), more=self.left > 0)
        return self

    async def end(self) -> tuple[int, bytes]:
        async with asyncio.timeout(PATIENCE):
            await self.task
        return self.client.status, self.client.body


async def a_few_steps() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def app() -> Application:
    return Application()


async def test_one_that_is_large_begins_early_on_half_of_the_threads(app: Application) -> None:
    bridge = WsgiToAsgi(app, threads=4, read_ahead=SIZE)
    large = [Request(bridge, 10 * SIZE).send(SIZE) for _ in range(5)]
    await eventually(lambda: app.begun == 2)
    await eventually(lambda: bridge.intake.waiting == 3)
    app.go_on.set()
    assert await Request(bridge).send().end() == (200, b"%d" % SIZE), "the other half is for others"
    assert bridge.intake.streams == 2
    for request in large:
        assert await request.send().end() == (200, b"%d" % (10 * SIZE))
    assert (bridge.intake.streams, bridge.intake.waiting) == (0, 0)


async def test_one_that_is_silent_begins(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client may wait for the response before it goes on."""
    monkeypatch.setattr(intake_module, "_SILENCE", 0.02)
    bridge = WsgiToAsgi(app, threads=2)
    request = Request(bridge).send(KIB)
    await eventually(lambda: app.begun == 1)
    app.go_on.set()
    assert await request.send().end() == (200, b"%d" % SIZE)


@pytest.mark.parametrize(("limit", "begun"), [(2 * SIZE, 2), (SIZE // 2, 1)], ids=["two", "less than one"])
async def test_bodies_past_the_budget_wait_and_the_others_do_not(
    app: Application, limit: int, begun: int
) -> None:
    """One always goes on, whatever its size."""
    bridge = WsgiToAsgi(app, threads=20, limit_buffered=limit)
    requests = [Request(bridge).send() for _ in range(6)]
    await eventually(lambda: bridge.intake.waiting == 6 - begun)
    await eventually(lambda: app.begun == begun)
    small = Request(bridge, 10).send()
    await eventually(lambda: app.begun == begun + 1)
    app.go_on.set()
    for request in (*requests, small):
        assert (await request.end())[0] == 200
    assert bridge.intake.budget.kept == 0


async def test_too_many_are_refused_at_once(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "_FEWEST_WAITING", 2)
    bridge = WsgiToAsgi(app, threads=20, limit_buffered=SIZE)
    monkeypatch.setattr(bridge.intake.budget.memory, "left", lambda: 1 << 20)
    first = Request(bridge).send()
    await eventually(lambda: app.begun == 1)
    waiting = [Request(bridge).send() for _ in range(2)]
    await eventually(lambda: bridge.intake.waiting == 2)
    refused = Request(bridge).send()
    assert (await refused.end())[0] == 503
    assert refused.client.headers["retry-after"] == "1"
    app.go_on.set()
    for request in (first, *waiting):
        assert (await request.end())[0] == 200


async def test_where_memory_is_short_less_is_read_ahead(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = WsgiToAsgi(app, threads=2)
    monkeypatch.setattr(bridge.intake.budget.memory, "left", lambda: 16 * SIZE)
    requests = [Request(bridge, 9 * SIZE) for _ in range(4)]
    for _ in range(8):
        for request in requests:
            request.send(SIZE)
    await eventually(lambda: bridge.intake.waiting == 3)
    await a_few_steps()
    assert bridge.intake.ahead <= 4 * SIZE, "one piece each: the budget has room for one"
    app.go_on.set()
    for request in requests:
        assert await request.send().end() == (200, b"%d" % (9 * SIZE))


@pytest.mark.parametrize(
    ("read_ahead", "headers"),
    [(1 << 20, ()), (0, ()), (1 << 20, EXPECTED), (1 << 20, CHUNKED), (0, CHUNKED)],
    ids=["ahead", "off", "expected", "chunked", "chunked-off"],
)
async def test_small_ones_go_on_where_memory_is_short(
    app: Application,
    read_ahead: int,
    headers: tuple[tuple[bytes, bytes], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bridge = WsgiToAsgi(app, threads=20, read_ahead=read_ahead)
    monkeypatch.setattr(bridge.intake.budget.memory, "left", lambda: 16 * SIZE)
    large = [Request(bridge, 9 * SIZE).send(2 * SIZE) for _ in range(4)]
    await eventually(lambda: bridge.intake.waiting == 3)
    small = [Request(bridge, KIB, *headers) for _ in range(5)]
    for request in small:
        request.send(1)
    await a_few_steps()
    for request in small:
        request.send()
    await eventually(lambda: app.begun == 6)
    app.go_on.set()
    for request in small:
        assert await request.end() == (200, b"%d" % KIB)
    for request in large:
        assert await request.send().end() == (200, b"%d" % (9 * SIZE))


@pytest.mark.parametrize("end", ["leaves", "is cancelled"])
async def test_one_that_ends_while_it_waits_leaves_its_place(app: Application, end: str) -> None:
    bridge = WsgiToAsgi(app, threads=20, limit_buffered=SIZE)
    first = Request(bridge).send()
    await eventually(lambda: app.begun == 1)
    second, third = Request(bridge).send(), Request(bridge).send()
    await eventually(lambda: bridge.intake.waiting == 2)
    if end == "leaves":
        second.client.leave()
    else:
        second.task.cancel()
    await asyncio.wait([second.task])
    assert second.client.sent == []
    assert bridge.intake.waiting == 1
    app.go_on.set()
    assert [(await request.end())[0] for request in (first, third)] == [200, 200]
    assert app.begun == 2


def test_a_wrong_size_is_told() -> None:
    with pytest.raises(ValueError, match="read_ahead is -1"):
        Intake(Memory(), 1, -1)
