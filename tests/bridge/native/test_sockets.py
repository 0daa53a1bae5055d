# SPDX-License-Identifier: MIT
"""Async views over sockets, under uvicorn."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.client import Connection, TruncatedResponse, chunk, fetch, hammer
from tests.support.journal import Journal
from tests.support.server import Serve
from tests.support.waiting import until

# Seconds: of these a disconnect takes a tenth, and what nobody interrupts takes much longer.
LONG = 3

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_two_hundred_requests_wait_without_a_thread(app: flask.Flask, serve: Serve) -> None:
    waiting = 0

    @app.get("/")
    async def view() -> str:
        nonlocal waiting
        waiting += 1
        await asyncio.sleep(1)
        return f"{threading.get_ident()} {id(asyncio.get_running_loop())}"

    address = serve(FlaskToAsgi(app))
    fetch(address, "/nowhere")  # so that the thread for it is there
    before = set(threading.enumerate())
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(address, timeout=20)) for _ in range(200)]
        for connection in connections:
            connection.send_request("GET", "/")
        until(lambda: waiting == 200)
        assert set(threading.enumerate()) <= before
        bodies = {connection.receive().body for connection in connections}

    assert len(bodies) == 1
    assert threading.get_ident() not in {int(body.split()[0]) for body in bodies}


async def test_nothing_leaks_along_a_connection(app: flask.Flask, serve: Serve) -> None:
    variable: ContextVar[int] = ContextVar("variable", default=0)
    seen: set[int] = set()

    @app.before_request
    async def before() -> None:
        seen.add(variable.get())
        variable.set(variable.get() + 1)

    @app.get("/")
    async def view() -> str:
        if len(seen) % 2:
            await asyncio.sleep(0)
        return "hello"

    statuses = await hammer(serve(FlaskToAsgi(app)), 4, 100, GET)

    assert statuses == {200: 400}
    assert seen == {0}


async def test_hooks_hold_up_under_back_to_back_requests(app: flask.Flask, serve: Serve) -> None:
    counts = {"before": 0, "teardown": 0}

    @app.before_request
    def before() -> None:
        flask.g.thread = threading.get_ident()
        counts["before"] += 1

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        assert flask.g.thread == threading.get_ident()
        counts["teardown"] += 1

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0)
        return "hello"

    statuses = await hammer(serve(FlaskToAsgi(app, threads=1)), 8, 25, GET)

    assert statuses == {200: 200}
    assert counts == {"before": 200, "teardown": 200}


def test_pipelined_requests_are_answered_in_order(app: flask.Flask, serve: Serve) -> None:
    @app.get("/<int:number>")
    async def view(number: int) -> str:
        await asyncio.sleep(0.001 * (5 - number))
        return str(number)

    with Connection(serve(FlaskToAsgi(app))) as connection:
        for number in range(5):
            connection.send_request("GET", f"/{number}")

        assert [connection.receive().body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_events_arrive_at_once(app: flask.Flask, serve: Serve) -> None:
    go = threading.Event()

    @app.get("/")
    async def view() -> flask.Response:
        async def events() -> AsyncIterator[str]:
            for number in range(3):
                yield f"data: {number}\n\n"
                await asyncio.to_thread(go.wait, 20)
                go.clear()

        return flask.Response(events(), mimetype="text/event-stream")  # type: ignore[arg-type]

    with Connection(serve(FlaskToAsgi(app))) as connection:
        connection.send_request("GET", "/")
        assert connection.receive_head().one("content-type") == "text/event-stream; charset=utf-8"
        for number, event in enumerate(connection.receive_chunks()):
            assert event == f"data: {number}\n\n".encode()
            go.set()


@pytest.mark.parametrize("how", ["vanish", "close"])
def test_a_client_that_leaves_cancels_the_view(
    app: flask.Flask, serve: Serve, journal: Journal, how: str
) -> None:
    started, ended = threading.Event(), threading.Event()

    @app.get("/")
    async def view() -> str:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            journal.note("cancelled")
            raise
        return "never"

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0.01)
        journal.note("teardown")

    @app.teardown_appcontext
    def last(error: BaseException | None) -> None:
        journal.note("last")
        ended.set()

    connection = Connection(serve(FlaskToAsgi(app)))
    connection.send_request("GET", "/")
    assert started.wait(20)
    (connection.vanish if how == "vanish" else connection.close)()
    left = time.monotonic()

    assert ended.wait(20)
    assert time.monotonic() - left < LONG
    assert journal.names == ["cancelled", "teardown", "last"]


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("form", ["async", "sync"])
def test_a_client_that_leaves_closes_the_stream(
    app: flask.Flask, serve: Serve, form: str, *, quick: bool
) -> None:
    """Also one that never waits, whose client has read quickly so far."""
    closed = threading.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 10
                if not quick:
                    await asyncio.sleep(0.01)
        finally:
            closed.set()

    def sync_body() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 10
                if not quick:
                    time.sleep(0.01)
        finally:
            closed.set()

    @app.get("/")
    async def view() -> Any:
        return body() if form == "async" else sync_body()

    connection = Connection(serve(FlaskToAsgi(app)))
    connection.send_request("GET", "/")
    connection.receive_head()
    connection.receive_bytes(20_000 if quick else 20)
    connection.vanish()
    left = time.monotonic()

    assert closed.wait(20)
    assert time.monotonic() - left < LONG


@pytest.mark.parametrize("form", ["async", "sync"])
def test_a_slow_reader_holds_the_stream_back(app: flask.Flask, serve: Serve, form: str) -> None:
    made = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(2000):
            made += 1
            yield b"x" * 10_000

    def sync_body() -> Iterator[bytes]:
        nonlocal made
        for _ in range(2000):
            made += 1
            yield b"x" * 10_000

    @app.get("/")
    async def view() -> Any:
        return body() if form == "async" else sync_body()

    with Connection(serve(FlaskToAsgi(app)), receive_buffer=10_000) as connection:
        connection.send_request("GET", "/")
        connection.receive_head()
        before = -1
        while before != made:
            before = made
            time.sleep(0.1)
        assert made < 1000  # what the kernel's buffers and the server's hold
        size = sum(map(len, connection.receive_chunks()))

    assert size == 20_000_000


def test_a_stream_that_fails_is_cut_off(app: flask.Flask, serve: Serve) -> None:
    @app.get("/")
    async def view() -> AsyncIterator[str]:
        yield "part"
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(TruncatedResponse) as raised:
        fetch(serve(FlaskToAsgi(app)), "/")
    assert raised.value.partial == b"part"


def test_an_upload_arrives_piece_by_piece(app: flask.Flask, serve: Serve) -> None:
    arrived = threading.Event()

    @app.post("/")
    async def view() -> str:
        first = flask.request.stream.read(3)
        arrived.set()
        return str([first, flask.request.stream.read()])

    with Connection(serve(FlaskToAsgi(app))) as connection:
        connection.send_request("POST", "/", [("Transfer-Encoding", "chunked")])
        connection.send(chunk(b"abc"))
        assert arrived.wait(20)
        connection.send(chunk(b"def") + chunk())

        assert connection.receive().body == b"[b'abc', b'def']"


def test_a_client_that_leaves_in_the_middle_of_an_upload(
    app: flask.Flask, serve: Serve, journal: Journal
) -> None:
    started, ended = threading.Event(), threading.Event()

    @app.post("/")
    async def view() -> str:
        started.set()
        try:
            flask.request.get_data()
        except BaseException as error:
            journal.note(type(error).__name__)
            raise
        return "never"

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        ended.set()

    connection = Connection(serve(FlaskToAsgi(app)))
    connection.send_request("POST", "/", [("Content-Length", "100")])
    connection.send(b"part")
    assert started.wait(20)
    connection.vanish()

    assert ended.wait(20)
    assert journal.names == ["ClientDisconnected"]


def test_a_hook_that_blocks_leaves_others_unharmed(app: flask.Flask, serve: Serve) -> None:
    blocked, release = threading.Event(), threading.Event()

    @app.before_request
    def before() -> None:
        if flask.request.path == "/slow":
            blocked.set()
            release.wait(20)

    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        return response

    @app.get("/slow")
    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0.01)
        return "hello"

    address = serve(FlaskToAsgi(app))
    with Connection(address) as slow, Connection(address) as other:
        slow.send_request("GET", "/slow")
        assert blocked.wait(20)
        for _ in range(5):
            assert other.request("GET", "/").body == b"hello"
        release.set()
        assert slow.receive().body == b"hello"


def test_a_request_that_takes_too_long_is_answered(app: flask.Flask, serve: Serve) -> None:
    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(60)
        return "never"

    with Connection(serve(FlaskToAsgi(app, request_timeout=0.1))) as connection:
        for _ in range(2):
            assert connection.request("GET", "/").status == 504
