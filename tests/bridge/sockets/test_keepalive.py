# SPDX-License-Identifier: MIT
"""Rules 1, 7 and 17: requests on one connection, and at the same time: none is touched by another."""

import asyncio
import time
from contextvars import ContextVar, Token
from functools import partial
from typing import Any

import pytest
from flask import Flask, Response, request

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.messages.types import Environ, Receive, Scope, Send, StartResponse
from tests.support.adapters import Adapter, stock_fails
from tests.support.applications.decorators import ensured
from tests.support.client import Connection, fetch_all, hammer
from tests.support.server import Serve, on_every_server, serving
from tests.support.waiting import until

mark = ContextVar("mark", default="none")
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def hello() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: {"hello": "world"}, methods=["GET", "POST"])
    return app


@on_every_server
@pytest.mark.parametrize(("connections", "requests"), [(1, 200), (32, 6)])
def test_back_to_back_requests_never_fail(serve: Serve, connections: int, requests: int) -> None:
    """Rule 1. For stock asgiref see the pipelined requests: there its failure does not depend on timing."""
    address = serve(FlaskToAsgi(hello()))
    statuses = asyncio.run(hammer(address, connections, requests, GET))
    assert statuses == {200: connections * requests}


@on_every_server
@stock_fails("a request inherits the executor of the one before: 500", FlaskToAsgi)
def test_pipelined_requests_never_fail(serve: Serve, adapter: Adapter) -> None:
    """Rule 1. The server starts each request from within the task of the one before."""
    with Connection(serve(adapter(hello()))) as connection:
        connection.send(GET * 20)
        assert [connection.receive().status for _ in range(20)] == [200] * 20


def marking(kind: str, seen: list[str], errors: list[ValueError]) -> Flask:
    """Return an application in which each part of a request looks at a context variable and sets it."""
    app = Flask(__name__)
    tokens: list[Token[str]] = []

    def step(name: str) -> None:
        seen.append(mark.get())
        tokens.append(mark.set(name))

    def undo() -> None:
        seen.append(mark.get())
        try:
            mark.reset(tokens.pop())
        except ValueError as error:
            errors.append(error)

    async def async_step(name: str) -> str:
        await asyncio.sleep(0)
        step(name)
        await asyncio.sleep(0)
        return "ok"

    @app.teardown_request
    def last(error: BaseException | None) -> None:
        undo()
        undo()
        seen.append(mark.get())

    @app.teardown_request
    async def first(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        undo()

    @app.before_request
    def sync_before() -> None:
        step("sync before")

    @app.before_request
    async def async_before() -> None:
        await async_step("async before")

    def view() -> str:
        step("view")
        return "ok"

    async_view = partial(async_step, "view")
    views: dict[str, Any] = {"sync": view, "async": async_view, "decorated": ensured(async_view)}
    app.add_url_rule("/", "view", views[kind])
    return app


@stock_fails("a token of one side can't be used on the other", FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("kind", ["sync", "async", "decorated"])
def test_a_request_has_one_context(serve: Serve, adapter: Adapter, kind: str) -> None:
    """Rules 1 and 17: what one part sets the next sees, and tokens can be reset."""
    seen: list[str] = []
    errors: list[ValueError] = []
    with Connection(serve(adapter(marking(kind, seen, errors)))) as connection:
        for _ in range(3 if adapter is FlaskToAsgi else 1):
            seen.clear()
            assert connection.request("GET", "/").body == b"ok"
            until(lambda: len(seen) == 7)
            steps = ["none", "sync before", "async before", "view"]
            assert seen == [*steps, "async before", "sync before", "none"]
    assert errors == []


@pytest.mark.parametrize("kind", ["sync", "async", "decorated"])
def test_contexts_of_requests_at_the_same_time_are_apart(serve: Serve, kind: str) -> None:
    """Rules 1 and 17, of what a middleware sets, too. Stock asgiref has no requests at the same time."""
    app = Flask(__name__)

    def check() -> str:
        name = request.args["name"]
        assert mark.get() == name
        return name

    def view() -> str:
        time.sleep(0.005)
        return check()

    async def async_view() -> str:
        await asyncio.sleep(0.005)
        return check()

    @app.before_request
    async def before() -> None:
        assert mark.get() == f"name={request.args['name']}"
        mark.set(request.args["name"])

    @app.after_request
    def after(response: Response) -> Response:
        check()
        return response

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        mark.set(scope["query_string"].decode())
        await bridge(scope, receive, send)

    views: dict[str, Any] = {"sync": view, "async": async_view, "decorated": ensured(async_view)}
    app.add_url_rule("/", view_func=views[kind])
    bridge = FlaskToAsgi(app)
    names = [f"n{number}" for number in range(60)]
    responses = fetch_all(serve(middleware), [f"/?name={name}" for name in names])
    assert [response.body.decode() for response in responses] == names


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"
HEAD = b"POST /asked HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("is_rejected", [False, True])
def test_nothing_behind_an_upgrade_is_served(http: str, *, is_rejected: bool) -> None:
    paths = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        paths.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    bridge = WsgiToAsgi(app)
    if is_rejected:
        bridge.limit_body = 1
    with serving(bridge, http=http, lifespan="off") as address:
        with Connection(address) as connection:
            connection.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED))
            connection.send(SMUGGLED)
            response = connection.receive()
            assert response.status == (413 if is_rejected else 200)
            assert response.head.one("connection") == "close"
            assert connection.is_closed()
        with Connection(address) as connection:
            assert connection.request("GET", "/other").head.one("connection") is None
    assert "/smuggled" not in paths
