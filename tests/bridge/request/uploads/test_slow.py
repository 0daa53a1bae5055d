# SPDX-License-Identifier: MIT
"""Rules 5 and 22: when requests with a body begin; clients that send slowly hold up nobody else."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.messages.types import Environ, StartResponse
from ashapp.bridge.request.uploads import intake as intake_module
from ashapp.bridge.wsgi import WsgiToAsgi
from tests.support.asgi import Client, http_scope
from tests.support.client import Address, Connection, chunk, fetch
from tests.support.flask import begin
from tests.support.server import Serve, on_every_server
from tests.support.waiting import PATIENCE, eventually

THREADS = 2
SLOW = 6
READ_AHEAD = 200_000


def head(size: int, *, chunked: bool) -> tuple[str, str]:
    return ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(size))


@on_every_server
@pytest.mark.parametrize("size", [1000, 100_000, 1_000_000], ids=["small", "ahead", "large"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_others_are_served_meanwhile(
    app: flask.Flask, add_view: Callable[..., None], serve: Serve, size: int, *, chunked: bool
) -> None:
    """More uploads than threads, whole bodies and none among the others; then all get their answers."""
    add_view(lambda: str(len(flask.request.get_data())))
    app.add_url_rule("/sync", view_func=lambda: str(len(flask.request.get_data())), methods=["GET", "POST"])
    address = serve(FlaskToAsgi(app, threads=THREADS, read_ahead=READ_AHEAD))
    first = min(size // 2, READ_AHEAD + 100_000)

    def upload(address: Address) -> Connection:
        connection = stack.enter_context(Connection(address))
        connection.send_request("POST", "/", [head(size, chunked=chunked)])
        connection.send(chunk(bytes(first)) if chunked else bytes(first))
        return connection

    with ExitStack() as stack:
        slow = [upload(address) for _ in range(SLOW)]
        for _ in range(3):
            assert fetch(address, "/sync").body == b"0"
            assert fetch(address, "/sync", "POST", body=bytes(50_000)).body == b"50000"
        for connection in slow:
            rest = bytes(size - first)
            connection.send(chunk(rest) + chunk() if chunked else rest)
            assert connection.receive().body == str(size).encode()


@on_every_server
def test_a_view_begins_with_the_first_part_of_a_large_body(
    app: flask.Flask, add_view: Callable[..., None], serve: Serve
) -> None:
    @flask.stream_with_context
    def lengths() -> Iterator[str]:
        yield f"{len(flask.request.stream.read(1000))} "
        yield str(len(flask.request.stream.read()))

    add_view(lengths)
    with Connection(serve(FlaskToAsgi(app, threads=THREADS, read_ahead=READ_AHEAD))) as connection:
        connection.send_request("POST", "/", [head(1_000_000, chunked=False)])
        connection.send(bytes(400_000))
        assert connection.receive_head().status == 200
        assert next(connection.receive_chunks()) == b"1000 "
        connection.send(bytes(600_000))


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_bodies_past_the_budget_come_one_after_the_other(
    app: flask.Flask, add_view: Callable[..., None], *, chunked: bool
) -> None:
    """Each view on the loop has begun, and waits in its read; all of them come to their end."""
    add_view(lambda: str(len(flask.request.get_data())))
    size, part = 1 << 18, bytes(1 << 15)
    bridge = FlaskToAsgi(app, limit_buffered=1 << 17)
    name, value = head(size, chunked=chunked)

    async def upload() -> bytes:
        headers = [(name.lower().encode(), value.encode())]
        pending = begin(bridge, "POST", client=Client(more=True), headers=headers)
        for sent in range(0, size, len(part)):
            await asyncio.sleep(0)
            pending.client.say(part, more=sent + len(part) < size)
        return (await pending.end()).body

    assert await asyncio.gather(*(upload() for _ in range(8))) == [str(size).encode()] * 8
    assert bridge.intake.budget.kept == 0


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
def reader() -> Application:
    return Application()


async def test_one_that_is_large_begins_early_on_half_of_the_threads(reader: Application) -> None:
    bridge = WsgiToAsgi(reader, threads=4, read_ahead=SIZE)
    large = [Request(bridge, 10 * SIZE).send(SIZE) for _ in range(5)]
    await eventually(lambda: reader.begun == 2)
    await eventually(lambda: bridge.intake.waiting == 3)
    reader.go_on.set()
    assert await Request(bridge).send().end() == (200, b"%d" % SIZE), "the other half is for others"
    assert bridge.intake.streams == 2
    for request in large:
        assert await request.send().end() == (200, b"%d" % (10 * SIZE))
    assert (bridge.intake.streams, bridge.intake.waiting) == (0, 0)


async def test_one_that_is_silent_begins(reader: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client may wait for the response before it goes on."""
    monkeypatch.setattr(intake_module, "_SILENCE", 0.02)
    bridge = WsgiToAsgi(reader, threads=2)
    request = Request(bridge).send(KIB)
    await eventually(lambda: reader.begun == 1)
    reader.go_on.set()
    assert await request.send().end() == (200, b"%d" % SIZE)


@pytest.mark.parametrize(("limit", "begun"), [(2 * SIZE, 2), (SIZE // 2, 1)], ids=["two", "less than one"])
async def test_bodies_past_the_budget_wait_and_the_others_do_not(
    reader: Application, limit: int, begun: int
) -> None:
    """One always goes on, whatever its size."""
    bridge = WsgiToAsgi(reader, threads=20, limit_buffered=limit)
    requests = [Request(bridge).send() for _ in range(6)]
    await eventually(lambda: bridge.intake.waiting == 6 - begun)
    await eventually(lambda: reader.begun == begun)
    small = Request(bridge, 10).send()
    await eventually(lambda: reader.begun == begun + 1)
    reader.go_on.set()
    for request in (*requests, small):
        assert (await request.end())[0] == 200
    assert bridge.intake.budget.kept == 0


async def test_too_many_are_refused_at_once(reader: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "_FEWEST_WAITING", 2)
    bridge = WsgiToAsgi(reader, threads=20, limit_buffered=SIZE)
    monkeypatch.setattr(bridge.intake.budget.memory, "left", lambda: 1 << 20)
    first = Request(bridge).send()
    await eventually(lambda: reader.begun == 1)
    waiting = [Request(bridge).send() for _ in range(2)]
    await eventually(lambda: bridge.intake.waiting == 2)
    refused = Request(bridge).send()
    assert (await refused.end())[0] == 503
    assert refused.client.headers["retry-after"] == "1"
    reader.go_on.set()
    for request in (first, *waiting):
        assert (await request.end())[0] == 200


async def test_where_memory_is_short_less_is_read_ahead(
    reader: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = WsgiToAsgi(reader, threads=2)
    monkeypatch.setattr(bridge.intake.budget.memory, "left", lambda: 16 * SIZE)
    requests = [Request(bridge, 9 * SIZE) for _ in range(4)]
    for _ in range(8):
        for request in requests:
            request.send(SIZE)
    await eventually(lambda: bridge.intake.waiting == 3)
    await a_few_steps()
    assert bridge.intake.ahead <= 4 * SIZE, "one piece each: the budget has room for one"
    reader.go_on.set()
    for request in requests:
        assert await request.send().end() == (200, b"%d" % (9 * SIZE))


@pytest.mark.parametrize(
    ("read_ahead", "headers"),
    [(1 << 20, ()), (0, ()), (1 << 20, EXPECTED), (1 << 20, CHUNKED), (0, CHUNKED)],
    ids=["ahead", "off", "expected", "chunked", "chunked-off"],
)
async def test_small_ones_go_on_where_memory_is_short(
    reader: Application,
    read_ahead: int,
    headers: tuple[tuple[bytes, bytes], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bridge = WsgiToAsgi(reader, threads=20, read_ahead=read_ahead)
    monkeypatch.setattr(bridge.intake.budget.memory, "left", lambda: 16 * SIZE)
    large = [Request(bridge, 9 * SIZE).send(2 * SIZE) for _ in range(4)]
    await eventually(lambda: bridge.intake.waiting == 3)
    small = [Request(bridge, KIB, *headers) for _ in range(5)]
    for request in small:
        request.send(1)
    await a_few_steps()
    for request in small:
        request.send()
    await eventually(lambda: reader.begun == 6)
    reader.go_on.set()
    for request in small:
        assert await request.end() == (200, b"%d" % KIB)
    for request in large:
        assert await request.send().end() == (200, b"%d" % (9 * SIZE))


@pytest.mark.parametrize("end", ["leaves", "is cancelled"])
async def test_one_that_ends_while_it_waits_leaves_its_place(reader: Application, end: str) -> None:
    bridge = WsgiToAsgi(reader, threads=20, limit_buffered=SIZE)
    first = Request(bridge).send()
    await eventually(lambda: reader.begun == 1)
    second, third = Request(bridge).send(), Request(bridge).send()
    await eventually(lambda: bridge.intake.waiting == 2)
    if end == "leaves":
        second.client.leave()
    else:
        second.task.cancel()
    await asyncio.wait([second.task])
    assert second.client.sent == []
    assert bridge.intake.waiting == 1
    reader.go_on.set()
    assert [(await request.end())[0] for request in (first, third)] == [200, 200]
    assert reader.begun == 2
