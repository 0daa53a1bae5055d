# SPDX-License-Identifier: MIT
"""Rules 1 and 7: one request after the other on a connection, none of them touched by the one before."""

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar

import pytest
from flask import Flask, request

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.messages.types import Environ, Message, Receive, Scope, Send, StartResponse
from tests.support.adapters import Adapter, stock_fails
from tests.support.client import Connection, hammer
from tests.support.server import Serve, on_every_server

mark = ContextVar("mark", default="none")
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"


def hello() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: {"hello": "world"}, methods=["GET", "POST"])
    return app


@on_every_server
@pytest.mark.parametrize(("connections", "requests"), [(1, 300), (8, 40), (64, 6)])
def test_back_to_back_requests_never_fail(serve: Serve, connections: int, requests: int) -> None:
    """Rule 1. For stock asgiref see the pipelined requests: there its failure does not depend on timing."""
    address = serve(FlaskToAsgi(hello()))
    statuses = asyncio.run(hammer(address, connections, requests, GET))
    assert statuses == {200: connections * requests}


def test_back_to_back_requests_with_a_body_never_fail(serve: Serve) -> None:
    """Rule 1."""
    statuses = asyncio.run(hammer(serve(FlaskToAsgi(hello())), 8, 40, POST))
    assert statuses == {200: 320}


@on_every_server
@stock_fails("a request inherits the executor of the one before: 500", FlaskToAsgi)
def test_pipelined_requests_never_fail(serve: Serve, adapter: Adapter) -> None:
    """Rule 1. The server starts each request from within the task of the one before."""
    with Connection(serve(adapter(hello()))) as connection:
        connection.send(GET * 20)
        assert [connection.receive().status for _ in range(20)] == [200] * 20


@on_every_server
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_a_view_sets_is_not_seen_by_the_next_request(serve: Serve, kind: str) -> None:
    """Rule 1. Stock asgiref fails as above before it can show anything."""
    app = Flask(__name__)

    def view() -> str:
        before = mark.get()
        mark.set("view")
        return before

    async def async_view() -> str:
        return view()

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        mark.set("teardown")

    app.add_url_rule("/", view_func=view if kind == "sync" else async_view)
    with Connection(serve(FlaskToAsgi(app))) as connection:
        connection.send(GET * 5)
        assert [connection.receive().body for _ in range(5)] == [b"none"] * 5
        assert [connection.request("GET", "/").body for _ in range(5)] == [b"none"] * 5


@on_every_server
def test_what_a_view_sets_is_not_seen_by_the_server(serve: Serve) -> None:
    """Rule 1. An ASGI middleware of the next request is not touched by this request either.

    The view's read makes the client send a body (``Expect``) that is long enough for the server to stop
    reading and to start again. asyncio then keeps, for the rest of the connection, the context
    in which it was told so. Stock asgiref passes what a view sets on to the server on purpose.
    """
    app = Flask(__name__)
    seen = []

    @app.post("/")
    def view() -> str:
        mark.set("view")
        return str(len(request.get_data()))

    bridge = FlaskToAsgi(app)

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(mark.get())
        await bridge(scope, receive, send)

    body = bytes(300_000)
    with Connection(serve(middleware)) as connection:
        for _ in range(3):
            connection.send_request(
                "POST", "/", [("Expect", "100-continue"), ("Content-Length", str(len(body)))]
            )
            assert connection.receive_head().status == 100
            connection.send(body)
            assert connection.receive().body == b"300000"
    assert seen == ["none"] * 3


@stock_fails("an empty message follows the last one")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ["list", "generator"])
def test_a_complete_response_is_one_start_and_one_body_message(
    serve: Serve, adapter: Adapter, method: str, kind: str
) -> None:
    """Rule 7, for a list, and for a generator whose Content-Length says that it is complete."""
    sent: list[Message] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        body = [b"hello"]
        return body if kind == "list" else (chunk for chunk in body)

    bridge = adapter(application)

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def record(message: Message) -> None:
            sent.append(message)
            await send(message)

        await bridge(scope, receive, record)

    with Connection(serve(middleware)) as connection:
        for _ in range(2):
            assert connection.request(method, "/").status == 200
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"] * 2
    assert [message.get("more_body") for message in sent] == [None, False] * 2
