# SPDX-License-Identifier: MIT
"""What the server looks after for each kind of handler: dead peers, and messages that are too long."""

import socket
from typing import Any

import flask
import pytest
import simple_websocket
from flask_sock import Sock
from websockets.sync.client import connect

from ashapp import BlockingWebSocket, FlaskToAsgi, WebSocket, WebSocketClosed, nonblocking, websocket
from ashapp.server.protocols.websocket_protocol import WebSocketProtocol
from tests.bridge.websocket.conftest import ending
from tests.support.client import handshake
from tests.support.journal import Journal
from tests.support.server import serving
from tests.support.waiting import until

PATHS = ["/native", "/sync", "/library", "/nonblocking"]


@pytest.fixture(autouse=True)
def _handlers(app: flask.Flask, journal: Journal) -> None:
    """Handlers that note how their WebSockets end."""

    @websocket(app, "/native")
    async def native(ws: WebSocket) -> None:
        try:
            await ws.receive()
        except WebSocketClosed as closed:
            journal.note("closed", closed.code)

    @websocket(app, "/sync")
    def blocking(ws: BlockingWebSocket) -> None:
        try:
            ws.receive()
        except WebSocketClosed as closed:
            journal.note("closed", closed.code)

    def library(ws: simple_websocket.Server) -> None:
        try:
            ws.receive()
        except simple_websocket.ConnectionClosed as closed:
            journal.note("closed", int(closed.reason))

    sock = Sock(app)
    sock.route("/library")(library)
    sock.route("/nonblocking", endpoint="nonblocking")(nonblocking(library))


@pytest.mark.parametrize("path", PATHS)
def test_a_peer_that_answers_no_ping_is_noticed(app: flask.Flask, journal: Journal, path: str) -> None:
    options: dict[str, Any] = {"ws_ping_interval": 0.2, "ws_ping_timeout": 0.2}
    with serving(FlaskToAsgi(app), ws=WebSocketProtocol, **options) as address, socket.socket() as client:
        client.connect(address)
        client.sendall(handshake(path))
        until(lambda: len(journal.entries) == 1)
    code = 1006 if path in {"/native", "/sync"} else 1005  # so the library calls it
    assert [entry.value for entry in journal.entries] == [code]


@pytest.mark.parametrize("path", PATHS)
def test_a_message_that_is_too_long_ends_it(app: flask.Flask, journal: Journal, path: str) -> None:
    with (
        serving(FlaskToAsgi(app), ws=WebSocketProtocol, ws_max_size=1000) as (host, port),
        connect(f"ws://{host}:{port}{path}", proxy=None) as client,
    ):
        client.send(b"x" * 1001)
        assert ending(client)[0] == 1009
        until(lambda: len(journal.entries) == 1)
    assert [entry.value for entry in journal.entries] == [1009]
