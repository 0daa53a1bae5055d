# SPDX-License-Identifier: MIT
"""Rule 8: the producer of a stream is stopped when the client has gone."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response

from ashapp.bridge import FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails
from tests.support.applications.producer import FORMS, Producer
from tests.support.client import Connection
from tests.support.server import Serve, on_every_server
from tests.support.waiting import until

BLOCK = bytes(65536)


@on_every_server
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("go", [Connection.close, Connection.vanish], ids=["close", "reset"])
def test_a_producer_is_stopped_when_the_client_goes(
    serve: Serve, form: str, go: Callable[[Connection], None]
) -> None:
    """Rule 8. It gets GeneratorExit at its next yield, on its own thread; an async one CancelledError."""
    producer = Producer(form)
    connection = Connection(serve(FlaskToAsgi(producer.app)))
    connection.send_request("GET", "/")
    producer.go.release()
    connection.receive_head()
    go(connection)
    deadline = time.monotonic() + 5
    while not producer.endings and time.monotonic() < deadline:
        producer.go.release()
        time.sleep(0.005)
    producer.finish()
    name, thread = producer.endings[0]
    assert name in ({"GeneratorExit", "CancelledError"} if form == "async body" else {"GeneratorExit"})
    assert {thread, *producer.threads} == {thread}


@on_every_server
@pytest.mark.parametrize("form", FORMS)
def test_a_producer_that_is_held_is_stopped_when_the_client_goes(serve: Serve, form: str) -> None:
    """Rule 8. The client has read nothing, so that the producer waits for room and not by itself.

    Stock asgiref keeps producing into the void, for ever.
    """
    app = Flask(__name__)
    endings: list[str] = []

    def generate() -> Iterator[bytes]:
        try:
            while True:
                yield BLOCK
        except BaseException as error:
            endings.append(type(error).__name__)
            raise

    async def agenerate() -> AsyncIterator[bytes]:
        try:
            while True:
                yield BLOCK
        except BaseException as error:
            endings.append(type(error).__name__)
            raise

    async def async_view() -> Response:
        return Response(generate())

    view: Any = {"sync": generate, "async": async_view, "async body": agenerate}[form]
    app.add_url_rule("/", "", view)
    connection = Connection(serve(FlaskToAsgi(app)), receive_buffer=65536)
    connection.send_request("GET", "/")
    connection.receive_head()
    time.sleep(0.05)
    connection.vanish()
    until(lambda: endings)
    assert endings == ["GeneratorExit"] or (form == "async body" and endings == ["CancelledError"])


@on_every_server
@pytest.mark.parametrize("form", ["sync", "async"])
def test_a_producer_of_nothing_is_stopped_when_the_client_goes(serve: Serve, form: str) -> None:
    """Rule 8. A generator may yield b"" while it has nothing to say. Stock asgiref never stops it."""
    app = Flask(__name__)
    ended = threading.Event()
    began = threading.Event()

    def generate() -> Iterator[bytes]:
        try:
            yield b"begin"
            began.set()
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                yield b""
                time.sleep(0.005)
        except GeneratorExit:
            ended.set()
            raise

    async def async_view() -> Response:
        return Response(generate())

    app.add_url_rule("/", "", generate if form == "sync" else async_view)
    connection = Connection(serve(FlaskToAsgi(app)))
    connection.send_request("GET", "/")
    connection.receive_head()
    assert began.wait(5)
    connection.close()
    assert ended.wait(3)


@pytest.mark.parametrize("form", ["sync", "async"])
@pytest.mark.parametrize("size", [1000, 500_000, 20_000_000])
def test_a_producer_is_stopped_though_a_body_is_unread(serve: Serve, form: str, size: int) -> None:
    """Rule 8. The disconnect comes after all that the client has sent, and nobody reads that.

    Stock asgiref takes the body in first, and then never stops to produce.
    """
    app = Flask(__name__)
    ended = threading.Event()

    def generate() -> Iterator[bytes]:
        try:
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline:
                yield b"x" * 1000
                time.sleep(0.001)
        except GeneratorExit:
            ended.set()
            raise

    async def async_view() -> Response:
        return Response(generate())

    app.add_url_rule("/", "", generate if form == "sync" else async_view, methods=["POST"])
    connection = Connection(serve(FlaskToAsgi(app)))
    connection.send_request("POST", "/", [("Content-Length", str(size))])
    connection.send_until_held(size)
    connection.receive_head()
    connection.vanish()
    assert ended.wait(10)


@stock_fails("the first of them occupies its only thread", FlaskToAsgi)
def test_sixty_abandoned_streams_do_not_delay_the_next_request(serve: Serve, adapter: Adapter) -> None:
    """Rule 8. More than there are threads; each producer is stopped on the thread that it ran on."""
    app = Flask(__name__)
    over = threading.Event()
    threads: dict[int, set[int]] = {}
    endings: list[str] = []

    @app.get("/<int:number>")
    def stream(number: int) -> Iterator[bytes]:
        threads[number] = {threading.get_ident()}
        try:
            deadline = time.monotonic() + (20 if adapter is FlaskToAsgi else 3)
            while time.monotonic() < deadline and not over.is_set():
                yield b"x" * 100
                time.sleep(0.01)
        except GeneratorExit:
            endings.append("GeneratorExit")
            raise
        finally:
            threads[number].add(threading.get_ident())

    app.add_url_rule("/", "hello", lambda: "hello")
    address = serve(adapter(app))
    try:
        for number in range(60 if adapter is FlaskToAsgi else 1):
            connection = Connection(address)
            connection.send_request("GET", f"/{number}")
            connection.receive_head()
            (connection.vanish if number % 2 else connection.close)()
        with Connection(address, timeout=1) as connection:
            assert connection.request("GET", "/").body == b"hello"
        until(lambda: len(endings) == 60)
    finally:
        over.set()
    assert [len(ids) for ids in threads.values()] == [1] * 60


@pytest.mark.parametrize("form", ["sync", "async"])
def test_sixty_streams_at_once_are_abandoned_at_once(serve: Serve, form: str) -> None:
    """Rule 8. Thirty run, thirty wait for a thread, and all their clients go."""
    app = Flask(__name__)
    began = threading.Semaphore(0)
    ended = threading.Semaphore(0)

    def generate() -> Iterator[bytes]:
        began.release()
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                yield b"x" * 100
                time.sleep(0.01)
        finally:
            ended.release()

    async def agenerate() -> AsyncIterator[bytes]:
        began.release()
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                yield b"x" * 100
                await asyncio.sleep(0.01)
        finally:
            ended.release()

    app.add_url_rule("/stream", "stream", generate if form == "sync" else agenerate)
    app.add_url_rule("/", "hello", lambda: "hello")
    address = serve(FlaskToAsgi(app, threads=30))
    connections = [Connection(address) for _ in range(60)]
    for connection in connections:
        connection.send_request("GET", "/stream")
    started = 60 if form == "async" else 30
    for _ in range(started):
        assert began.acquire(timeout=5)
    for connection in connections:
        connection.vanish()
    with Connection(address, timeout=1) as connection:
        assert connection.request("GET", "/").body == b"hello"
    for _ in range(started):
        assert ended.acquire(timeout=5)
