# SPDX-License-Identifier: MIT
"""Rules 5 and 22: clients that send slowly hold up nobody else. Stock asgiref has one thread for all."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import flask
import pytest
from flask import request

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import Client
from tests.support.client import Address, Connection, chunk, fetch
from tests.support.flask import begin
from tests.support.server import Serve, on_every_server

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
    add_view(lambda: str(len(request.get_data())))
    app.add_url_rule("/sync", view_func=lambda: str(len(request.get_data())), methods=["GET", "POST"])
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
        yield f"{len(request.stream.read(1000))} "
        yield str(len(request.stream.read()))

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
    add_view(lambda: str(len(request.get_data())))
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
