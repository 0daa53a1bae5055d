# SPDX-License-Identifier: MIT
"""Rules 5 and 22: clients that send slowly hold up nobody else. Stock asgiref has one thread for all."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask, request, stream_with_context

from ashapp.bridge import FlaskToAsgi
from tests.support.client import Address, Connection, chunk, fetch
from tests.support.server import Serve, on_every_server

THREADS = 2
SLOW = 6
READ_AHEAD = 200_000


def application() -> Flask:
    app = Flask(__name__)

    @app.post("/sync")
    def view() -> str:
        return str(len(request.get_data()))

    @app.post("/async")
    async def async_view() -> str:
        return str(len(request.get_data()))

    @app.post("/stream")
    @stream_with_context
    def stream() -> Iterator[str]:
        yield f"{len(request.stream.read(1000))} "
        yield str(len(request.stream.read()))

    @app.get("/")
    def other() -> str:
        return "other"

    return app


def begin(address: Address, stack: ExitStack, target: str, size: int, first: int, **head: Any) -> Connection:
    """Begin a request with a body of *size*, of which *first* bytes are sent."""
    connection = stack.enter_context(Connection(address))
    if head.get("chunked"):
        connection.send_request("POST", target, [("Transfer-Encoding", "chunked")])
        connection.send(chunk(bytes(first)))
    else:
        connection.send_request("POST", target, [("Content-Length", str(size))])
        connection.send(bytes(first))
    return connection


@on_every_server
@pytest.mark.parametrize("target", ["/sync", "/async"])
@pytest.mark.parametrize("size", [1000, 100_000, 1_000_000], ids=["small", "ahead", "large"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_others_are_served_meanwhile(serve: Serve, target: str, size: int, *, chunked: bool) -> None:
    """More uploads than threads, whole bodies and none among the others; then all get their answers."""
    address = serve(FlaskToAsgi(application(), threads=THREADS, read_ahead=READ_AHEAD))
    first = min(size // 2, READ_AHEAD + 100_000)
    with ExitStack() as stack:
        slow = [begin(address, stack, target, size, first, chunked=chunked) for _ in range(SLOW)]
        for _ in range(3):
            assert fetch(address, "/").body == b"other"
            assert fetch(address, "/sync", "POST", body=bytes(50_000)).body == b"50000"
        for connection in slow:
            rest = bytes(size - first)
            connection.send(chunk(rest) + chunk() if chunked else rest)
            assert connection.receive().body == str(size).encode()


@on_every_server
def test_a_view_begins_with_the_first_part_of_a_large_body(serve: Serve) -> None:
    address = serve(FlaskToAsgi(application(), threads=THREADS, read_ahead=READ_AHEAD))
    with ExitStack() as stack:
        connection = begin(address, stack, "/stream", 1_000_000, 400_000)
        head = connection.receive_head()
        assert head.status == 200
        assert next(connection.receive_chunks()) == b"1000 "
        connection.send(bytes(600_000))


@on_every_server
def test_a_body_that_is_too_long_is_refused_unread(serve: Serve) -> None:
    address = serve(FlaskToAsgi(application(), threads=THREADS, limit_body=1000))
    with ExitStack() as stack:
        connection = begin(address, stack, "/sync", 1001, 0)
        assert connection.receive().status == 413
