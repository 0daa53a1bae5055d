# SPDX-License-Identifier: MIT
"""WebSockets beside requests: neither takes the other's place."""

import threading
from contextlib import ExitStack
from typing import Any

import flask
import pytest
import websocket as websocket_client
from flask_sock import Sock
from websockets.sync.client import connect

from ashapp import FlaskToAsgi, WebSocket, websocket
from tests.support.client import Address, fetch
from tests.support.server import serving
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _handlers(app: flask.Flask) -> None:
    """Two handlers that send back what they receive: one on the loop, and one of a library."""

    @websocket(app, "/native")
    async def native(ws: WebSocket) -> None:
        async for message in ws:
            await ws.send(message)

    def library(ws: Any) -> None:
        while True:
            ws.send(ws.receive())

    Sock(app).route("/library")(library)
    app.add_url_rule("/", view_func=lambda: "hello")


def denial(address: Address, path: str) -> tuple[int, bytes]:
    with pytest.raises(websocket_client.WebSocketBadStatusException) as raised:
        websocket_client.create_connection(f"ws://{address[0]}:{address[1]}{path}")
    return raised.value.status_code, raised.value.resp_body or b""


@pytest.mark.parametrize(
    ("options", "path", "said"),
    [
        ({"limit_websockets": 1}, "/native", b"1 WebSockets are open"),
        ({"limit_websockets": 1}, "/library", b"1 WebSockets are open"),
        ({"websocket_threads": 1}, "/library", b"1 WebSockets hold a thread"),
        ({"threads": 1}, "/library", b"1 WebSockets hold a thread"),
    ],
)
def test_one_too_many_is_denied(app: flask.Flask, options: dict[str, Any], path: str, said: bytes) -> None:
    bridge = FlaskToAsgi(app, **options)
    with serving(bridge, ws="auto") as address:
        for _ in range(3):  # the place of one that has gone is free
            with connect(f"ws://{address[0]}:{address[1]}{path}", proxy=None) as client:
                client.send("x")
                assert client.recv(5) == "x"
                status, body = denial(address, path)
                assert (status, said in body) == (503, True)
                assert fetch(address, "/").body == b"hello"
            until(lambda: bridge.websockets.open == bridge.websockets.on_threads == 0)


def test_many_websockets_leave_the_threads_to_requests(app: flask.Flask) -> None:
    bridge = FlaskToAsgi(app, threads=2)
    with serving(bridge, ws="auto") as address, ExitStack() as stack:
        paths = ["/library", "/native"] * 50
        clients = [
            stack.enter_context(connect(f"ws://{address[0]}:{address[1]}{path}", proxy=None))
            for path in paths
        ]
        for client in clients:
            client.send("x")
        assert fetch(address, "/").body == b"hello"
        assert [client.recv(10) for client in clients] == ["x"] * 100
        assert (bridge.websockets.open, bridge.websockets.on_threads, bridge.admission.in_flight) == (
            100,
            50,
            0,
        )
    until(lambda: bridge.websockets.open == bridge.websockets.on_threads == 0)
    until(lambda: not [thread for thread in threading.enumerate() if "_thread" in thread.name])
