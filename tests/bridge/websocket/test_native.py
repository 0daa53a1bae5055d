# SPDX-License-Identifier: MIT
"""Handlers of ``ashapp.websocket``, over real sockets."""

import flask
import pytest
from websockets.exceptions import InvalidStatus

from ashapp import BlockingWebSocket, WebSocket, websocket
from tests.bridge.websocket.conftest import Open


def add_echo(app: flask.Flask, kind: str) -> None:
    """Add a handler that sends back what it receives, with the argument of its URL."""
    if kind == "async":

        @websocket(app, "/echo/<int:room>")
        async def echo(ws: WebSocket, room: int) -> None:
            async for message in ws:
                await ws.send(message)
                await ws.send_json([room, flask.request.path])

    else:

        @websocket(app, "/echo/<int:room>")
        def blocking_echo(ws: BlockingWebSocket, room: int) -> None:
            for message in ws:
                ws.send(message)
                ws.send_json([room, flask.request.path])


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_messages_go_both_ways(app: flask.Flask, open_websocket: Open, kind: str) -> None:
    add_echo(app, kind)
    with open_websocket("/echo/3") as client:
        for message in ("ä", b"\x00\xff", "", b"", "x" * 100_000):
            client.send(message)
            assert client.recv(5) == message
            assert client.recv(5) == '[3, "/echo/3"]'


@pytest.mark.parametrize(
    ("path", "status"), [("/echo/x", 404), ("/plain", 400), ("/denied", 401), ("/aborted", 418)]
)
def test_a_response_denies(app: flask.Flask, open_websocket: Open, path: str, status: int) -> None:
    add_echo(app, "async")
    app.add_url_rule("/plain", view_func=lambda: "plain")

    @websocket(app, "/denied")
    async def deny(_ws: WebSocket) -> tuple[str, int]:
        return "no", 401

    @websocket(app, "/aborted")
    async def abort(_ws: WebSocket) -> None:
        flask.abort(418)

    with pytest.raises(InvalidStatus) as raised:
        open_websocket(path)
    assert raised.value.response.status_code == status
