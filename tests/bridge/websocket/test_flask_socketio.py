# SPDX-License-Identifier: MIT
"""Flask-SocketIO, unchanged, with the client of python-socketio."""

from collections.abc import Iterator
from typing import Any

import flask
import flask_socketio
import pytest
import socketio

from tests.support.client import Address
from tests.support.journal import Journal
from tests.support.waiting import until


@pytest.fixture
def server(app: flask.Flask, journal: Journal) -> flask_socketio.SocketIO:
    server = flask_socketio.SocketIO(app, async_mode="threading")

    @server.on("connect")
    def connect() -> None:
        flask.session["user"] = flask.request.args["user"]

    @server.on("echo")
    def echo(data: Any) -> str:
        flask_socketio.emit("back", [flask.session["user"], data])
        return "taken"

    @server.on("leave")
    def leave() -> None:
        flask_socketio.disconnect()

    @server.on("disconnect")
    def disconnect(reason: str) -> None:
        journal.note("disconnect", reason)

    return server


@pytest.fixture
def client() -> Iterator[socketio.Client]:
    client = socketio.Client(reconnection=False)
    yield client
    client.disconnect()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="-".join)
def test_events_go_both_ways(
    address: Address, client: socketio.Client, journal: Journal, transports: list[str]
) -> None:
    came: list[Any] = []
    client.on("back", came.append)
    client.connect(f"http://{address[0]}:{address[1]}?user=ada", transports=transports)
    for data in ("é", {"bytes": b"\0\xff"}, "x" * 100_000):
        assert client.call("echo", data, timeout=5) == "taken"
    until(lambda: len(came) == 3)
    assert came == [["ada", "é"], ["ada", {"bytes": b"\0\xff"}], ["ada", "x" * 100_000]]
    until(lambda: client.transport() == transports[-1])
    client.disconnect()
    until(lambda: journal.entries)


@pytest.mark.usefixtures("server")
def test_the_server_disconnects(address: Address, client: socketio.Client, journal: Journal) -> None:
    gone: list[str] = []
    client.on("disconnect", gone.append)
    client.connect(f"http://{address[0]}:{address[1]}?user=ada", transports=["websocket"])
    client.emit("leave")
    until(lambda: gone and journal.entries)
    assert gone == ["server disconnect"]
