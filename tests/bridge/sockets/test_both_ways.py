# SPDX-License-Identifier: MIT
"""Rules 5 and 8: bodies in both directions at once, and what is left of them at the end."""

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import IO, Any

import pytest
from flask import Flask, Response, request, stream_with_context

from ashapp.bridge import FlaskToAsgi
from tests.support.client import Connection
from tests.support.server import Serve, on_every_server, serving

pytestmark = pytest.mark.usefixtures("impatient")


def echo() -> Flask:
    """An application that gives back what it gets, piece by piece."""
    app = Flask(__name__)

    async def agenerate(stream: IO[bytes]) -> AsyncIterator[bytes]:
        while piece := stream.read(10_000):
            yield piece

    @app.post("/sync")
    def view() -> Response:
        pieces = iter(lambda: request.stream.read(10_000), b"")
        return Response(stream_with_context(pieces))

    @app.post("/async")
    async def async_view() -> AsyncIterator[bytes]:
        return agenerate(request.stream)

    @app.post("/async/sync")
    async def mixed_view() -> Response:
        return view()

    return app


@on_every_server
@pytest.mark.parametrize("target", ["/sync", "/async", "/async/sync"])
def test_a_body_is_echoed_while_it_comes(serve: Serve, target: str) -> None:
    """Rules 5 and 8: far more than all buffers hold. Stock asgiref takes the body in first."""
    size = 12 << 20
    data = hashlib.sha256(b"").digest() * (size // 32)
    with Connection(serve(FlaskToAsgi(echo()))) as connection:
        connection.send_request("POST", target, [("Content-Length", str(size))])
        sending = threading.Thread(target=connection.send, args=(data,))
        sending.start()
        assert connection.receive().body == data
        sending.join()
        assert connection.request("POST", target, body=b"next").body == b"next"


@on_every_server
@pytest.mark.parametrize("target", ["/sync", "/async", "/async/sync"])
def test_pieces_go_to_and_fro(serve: Serve, target: str) -> None:
    """Rules 5 and 8: the client waits for each answer before it goes on. Stock asgiref would wait as well."""
    with Connection(serve(FlaskToAsgi(echo()))) as connection:
        connection.send_request("POST", target, [("Transfer-Encoding", "chunked")])
        piece = bytes(10_000)
        connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.receive_head()
        chunks = connection.receive_chunks()
        for _ in range(20):
            assert len(next(chunks)) == len(piece)
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        assert len(next(chunks)) == len(piece)
        connection.send(b"0\r\n\r\n")
        assert list(chunks) == []


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_a_read_after_the_response_does_not_hang(serve: Serve, size: int) -> None:
    """Rule 5. The server drops what comes then, so that the read fails. Stock asgiref never gets so far."""
    app = Flask(__name__)
    ended = threading.Event()

    @app.post("/")
    def view() -> Response:
        response = Response(iter([b"body"]), headers={"Content-Length": "4"})
        stream = request.stream

        def read() -> None:
            try:
                stream.read()
            finally:
                ended.set()

        response.call_on_close(read)
        return response

    with Connection(serve(FlaskToAsgi(app))) as connection:
        connection.send_request("POST", "/", [("Content-Length", str(size))])
        assert connection.receive().body == b"body"
        assert ended.wait(5)
        connection.send(bytes(size))
        connection.send_request("POST", "/", body=b"")
        assert connection.receive().body == b"body"


@pytest.mark.parametrize("form", ["sync", "async", "async body"])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_server_that_stops_stops_its_streams(form: str, loop: str) -> None:
    """Rule 8: as if the clients had gone, in the end. Through stock asgiref the server would never end."""
    app = Flask(__name__)
    ended = threading.Event()

    def generate() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                time.sleep(0.002)
        finally:
            ended.set()

    async def async_view() -> Response:
        return Response(generate())

    async def agenerate() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.002)
        finally:
            ended.set()

    view: Any = {"sync": generate, "async": async_view, "async body": agenerate}[form]
    app.add_url_rule("/", "", view)
    with serving(FlaskToAsgi(app), loop=loop, timeout_graceful_shutdown=0.2) as address:
        connection = Connection(address)
        connection.send_request("GET", "/")
        connection.receive_head()
    assert ended.wait(3)
    connection.close()
