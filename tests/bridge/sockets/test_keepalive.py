# SPDX-License-Identifier: MIT
"""Rule 1: requests on one connection, and at the same time: none is touched by another."""

import asyncio
from typing import Any

import pytest
from flask import Flask

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.messages.types import Environ, StartResponse
from tests.support.client import Connection
from tests.support.server import Serve, on_every_server, serving

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def hello() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: {"hello": "world"}, methods=["GET", "POST"])
    return app


@on_every_server
def test_pipelined_requests_never_fail(serve: Serve) -> None:
    """Rule 1. The server starts each request from within the task of the one before."""
    with Connection(serve(FlaskToAsgi(hello()))) as connection:
        connection.send(GET * 20)
        assert [connection.receive().status for _ in range(20)] == [200] * 20


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    app = Flask(__name__)

    @app.get("/<int:number>")
    async def view(number: int) -> str:
        await asyncio.sleep(0.001 * (5 - number))
        return str(number)

    with Connection(serve(FlaskToAsgi(app))) as connection:
        for number in range(5):
            connection.send_request("GET", f"/{number}")
        assert [connection.receive().body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"
HEAD = b"POST /asked HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("case", ["served", "rejected", "mounted"])
def test_nothing_behind_an_upgrade_is_served(http: str, case: str) -> None:
    paths = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        paths.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    async def mounted(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    mounts = {"/asked": mounted} if case == "mounted" else {}
    bridge = WsgiToAsgi(app, mounts=mounts)
    if case == "rejected":
        bridge.limit_body = 1
    with serving(bridge, http=http, lifespan="off") as address:
        with Connection(address) as connection:
            connection.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED))
            connection.send(SMUGGLED)
            response = connection.receive()
            assert response.status == (413 if case == "rejected" else 200)
            assert response.head.one("connection") == "close"
            assert connection.is_closed()
        with Connection(address) as connection:
            assert connection.request("GET", "/other").head.one("connection") is None
    assert "/smuggled" not in paths
