# SPDX-License-Identifier: MIT
"""A server with WebSockets that the tests share, and clients."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import flask
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from ashapp.bridge import FlaskToAsgi
from ashapp.server.protocols.websocket_protocol import WebSocketProtocol
from tests.support.client import Address
from tests.support.server import SharedServer

#: Opens a WebSocket at a path of the application; what else it gets is for ``websockets``' client.
Open = Callable[..., ClientConnection]


@pytest.fixture(scope="session")
def _websocket_server() -> Iterator[SharedServer]:
    server = SharedServer()
    with server.running(("httptools", "uvloop"), ws=WebSocketProtocol):
        yield server


@pytest.fixture
def address(app: flask.Flask, _websocket_server: SharedServer) -> Iterator[Address]:
    """The address at which ``app`` is served."""
    yield _websocket_server.serve(FlaskToAsgi(app))
    _websocket_server.application = None


@pytest.fixture
def open_websocket(address: Address) -> Open:
    host, port = address[:2]
    return lambda path="/", **options: connect(f"ws://{host}:{port}{path}", proxy=None, **options)


def ending(client: ClientConnection) -> tuple[int | None, str | None]:
    """Return the code and the reason with which the server closes, behind what it has sent."""
    with suppress(ConnectionClosed):
        while True:
            client.recv(10)
    return client.close_code, client.close_reason
