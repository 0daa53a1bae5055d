# SPDX-License-Identifier: MIT
"""Async views over sockets, under uvicorn."""

import asyncio
import threading
from contextlib import ExitStack

import flask

from ashapp.bridge import FlaskToAsgi
from tests.support.client import Connection, chunk, fetch
from tests.support.server import Serve
from tests.support.waiting import until

# Seconds: of these a disconnect takes a tenth, and what nobody interrupts takes much longer.


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


def test_pipelined_requests_are_answered_in_order(app: flask.Flask, serve: Serve) -> None:
    @app.get("/<int:number>")
    async def view(number: int) -> str:
        await asyncio.sleep(0.001 * (5 - number))
        return str(number)

    with Connection(serve(FlaskToAsgi(app))) as connection:
        for number in range(5):
            connection.send_request("GET", f"/{number}")

        assert [connection.receive().body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


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
