# SPDX-License-Identifier: MIT
"""Rules 8 and 18: streams, chunk by chunk, held back by the client."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from flask import Flask, Response, request, stream_with_context

from ashapp.bridge import FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.applications.producer import FORMS, Producer
from tests.support.client import Connection, fetch
from tests.support.server import Serve, on_every_server
from tests.support.waiting import until

BLOCK = bytes(65536)


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
    producer.finish()


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
                deadline = time.monotonic() + (10 if adapter is FlaskToAsgi else 0.3)
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
    assert over.wait(5 if adapter is FlaskToAsgi else 0.6)
    assert [name for name, _ in closed if name != "teardown"] == ["/abc", "close"]
    assert "teardown" in dict(closed)
    assert len({thread for _, thread in closed}) == 1
