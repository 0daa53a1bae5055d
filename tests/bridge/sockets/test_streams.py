# SPDX-License-Identifier: MIT
"""Rules 8 and 18: streams, chunk by chunk, held back by the client and stopped when it goes."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, request, stream_with_context

from ashapp.bridge import FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.client import Connection, fetch
from tests.support.server import Serve, on_every_server
from tests.support.waiting import until

BLOCK = bytes(65536)


class Producer:
    """A Flask application with a stream that the test lets go on, in each of the forms that there are."""

    def __init__(self, form: str) -> None:
        self.app = Flask(__name__)
        self.go = threading.Semaphore(0)
        self.produced = 0
        self.threads: list[int] = []
        self.endings: list[tuple[str, int]] = []
        view: Any = {"sync": self._view, "async": self._async_view, "async body": self._async_body_view}[form]
        self.app.add_url_rule("/", view_func=view, methods=["GET", "POST"])
        self.app.add_url_rule("/other", "other", lambda: "other")

    def _view(self) -> Response:
        return Response(self._generate())

    async def _async_view(self) -> Response:
        return Response(self._generate())

    async def _async_body_view(self) -> AsyncIterator[bytes]:
        return self._agenerate()

    def _generate(self) -> Iterator[bytes]:
        try:
            while True:
                self.threads.append(threading.get_ident())
                assert self.go.acquire(timeout=10)
                self.produced += 1
                yield b"%d" % self.produced
        except BaseException as error:
            self.endings.append((type(error).__name__, threading.get_ident()))
            raise

    async def _agenerate(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.threads.append(threading.get_ident())
                deadline = time.monotonic() + 10
                while not self.go.acquire(blocking=False):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.001)
                self.produced += 1
                yield b"%d" % self.produced
        except BaseException as error:
            self.endings.append((type(error).__name__, threading.get_ident()))
            raise


FORMS = ["sync", "async", "async body"]


@on_every_server
@pytest.mark.parametrize("form", FORMS)
def test_a_chunk_arrives_when_it_is_yielded(serve: Serve, form: str) -> None:
    """Rules 8 and 18. The producer waits until the client has the chunk. Stock asgiref: see below."""
    producer = Producer(form)
    with Connection(serve(FlaskToAsgi(producer.app))) as connection:
        connection.send_request("GET", "/")
        producer.go.release()
        assert connection.receive_head().status == 200
        chunks = connection.receive_chunks()
        for number in range(1, 20):
            assert next(chunks) == b"%d" % number
            assert producer.produced == number
            producer.go.release()
    producer.go.release(100)


@stock_passes(FlaskToAsgi)
def test_a_chunk_of_a_sync_stream_arrives_when_it_is_yielded(serve: Serve, adapter: Adapter) -> None:
    """Rule 8."""
    app = Flask(__name__)
    go = threading.Semaphore(0)

    @app.get("/")
    def view() -> Iterator[bytes]:
        for number in range(3):
            yield b"%d" % number
            assert go.acquire(timeout=10)

    with Connection(serve(adapter(app))) as connection:
        connection.send_request("GET", "/")
        connection.receive_head()
        for number, chunk in enumerate(connection.receive_chunks()):
            assert chunk == b"%d" % number
            go.release()


@on_every_server
@pytest.mark.parametrize("form", ["sync", "async body"])
def test_a_slow_reader_holds_the_producer(serve: Serve, form: str) -> None:
    """Rule 8. What is produced ahead is bounded by the buffers of the sockets and of the bridge.

    Stock asgiref passes, but can't be run here: it never stops to produce when the client has gone.
    """
    app = Flask(__name__)
    produced = [0]

    def generate() -> Iterator[bytes]:
        while True:
            produced[0] += len(BLOCK)
            yield BLOCK

    async def agenerate() -> AsyncIterator[bytes]:
        for block in generate():
            yield block

    app.add_url_rule("/", "", generate if form == "sync" else agenerate)
    connection = Connection(serve(FlaskToAsgi(app)), receive_buffer=65536)
    connection.send_request("GET", "/")
    ahead = -1
    while ahead != produced[0]:
        ahead = produced[0]
        time.sleep(0.1)
    assert 0 < ahead < 16 << 20
    connection.receive_head()
    connection.receive_bytes(4 << 20)
    until(lambda: produced[0] > ahead)
    connection.vanish()


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


@pytest.mark.parametrize("form", FORMS)
def test_the_next_request_of_a_connection_follows_a_stream(serve: Serve, form: str) -> None:
    """Rules 8 and 18. The end of a stream is the end of its watching. For stock asgiref see rule 1."""
    app = Flask(__name__)

    def generate() -> Iterator[bytes]:
        yield from (b"one", b"two")

    async def async_view() -> Response:
        return Response(generate())

    async def agenerate() -> AsyncIterator[bytes]:
        for chunk in generate():
            yield chunk

    view: Any = {"sync": generate, "async": async_view, "async body": agenerate}[form]
    app.add_url_rule("/", "", view, methods=["GET", "POST"])
    with Connection(serve(FlaskToAsgi(app))) as connection:
        for _ in range(20):
            assert connection.request("GET", "/").body == b"onetwo"
            assert connection.request("POST", "/", body=b"unread").body == b"onetwo"
        connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
        assert [connection.receive().body for _ in range(10)] == [b"onetwo"] * 10


@on_every_server
@stock_fails("call_on_close never happens", FlaskToAsgi)
@pytest.mark.parametrize("abandoned", [False, True])
def test_a_stream_is_closed_in_its_context(serve: Serve, adapter: Adapter, abandoned: bool) -> None:  # noqa: FBT001
    """Rules 6, 8 and 17: ``stream_with_context``, ``call_on_close`` and the teardown, on one thread."""
    app = Flask(__name__)
    closed: list[tuple[str, int]] = []
    over = threading.Event()

    def note(name: str) -> None:
        closed.append((name, threading.get_ident()))

    @app.get("/<name>")
    def view(name: str) -> Any:
        def generate() -> Iterator[str]:
            try:
                yield request.path
                deadline = time.monotonic() + (10 if adapter is FlaskToAsgi else 1)
                while abandoned and time.monotonic() < deadline:
                    yield request.path
                    time.sleep(0.005)
            finally:
                note(request.path)

        response = Response(stream_with_context(generate()))
        response.call_on_close(close)
        return response

    def close() -> None:
        note("close")
        over.set()

    @app.teardown_request
    def tear_down(error: BaseException | None) -> None:
        note("teardown")

    address = serve(adapter(app))
    if abandoned:
        connection = Connection(address)
        connection.send_request("GET", "/abc")
        connection.receive_head()
        connection.close()
    else:
        assert fetch(address, "/abc").body == b"/abc"
    assert over.wait(5 if adapter is FlaskToAsgi else 1.5)
    assert [name for name, _ in closed if name != "teardown"] == ["/abc", "close"]
    assert "teardown" in dict(closed)
    assert len({thread for _, thread in closed}) == 1
