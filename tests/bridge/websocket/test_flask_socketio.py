# SPDX-License-Identifier: MIT
"""Flask-SocketIO, unchanged, with the client of python-socketio."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import flask
import flask_socketio
import pytest
import socketio
from engineio.socket import Socket
from websockets.sync.client import connect

from ashapp import FlaskToAsgi, adopt_socketio
from ashapp.bridge.websocket.libraries.polls import count_polls
from ashapp.bridge.websocket.libraries.socket_io import PARTS, WAITS
from tests.support.client import Address, Connection, fetch
from tests.support.journal import Journal
from tests.support.server import serving
from tests.support.waiting import until


@pytest.fixture(params=["threads", "adopted"])
def server(app: flask.Flask, journal: Journal, request: pytest.FixtureRequest) -> flask_socketio.SocketIO:
    server = flask_socketio.SocketIO(app, async_mode="threading", ping_interval=1, ping_timeout=5)

    @server.on("connect")
    def connect() -> None:
        journal.note("connect")
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

    if request.param == "adopted":
        adopt_socketio(server)
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
    until(lambda: len(journal.entries) == 2)
    assert [entry.on_loop for entry in journal.entries] == [False, False], "they may block"


@pytest.mark.usefixtures("server")
def test_the_server_disconnects(address: Address, client: socketio.Client, journal: Journal) -> None:
    gone: list[str] = []
    client.on("disconnect", gone.append)
    client.connect(f"http://{address[0]}:{address[1]}?user=ada", transports=["websocket"])
    client.emit("leave")
    until(lambda: gone and len(journal.entries) == 2)
    assert gone == ["server disconnect"]


@pytest.mark.usefixtures("server")
def test_a_client_that_vanishes_is_noticed(
    address: Address, client: socketio.Client, journal: Journal
) -> None:
    client.connect(f"http://{address[0]}:{address[1]}?user=ada", transports=["websocket"])
    client.eio.ws.sock.close()
    until(lambda: len(journal.entries) == 2)


def test_a_client_that_leaves_while_it_polls_holds_its_thread_until_the_next_ping(app: flask.Flask) -> None:
    flask_socketio.SocketIO(app, async_mode="threading", ping_interval=1)
    bridge = FlaskToAsgi(app)
    url = "/socket.io/?EIO=4&transport=polling"
    with serving(bridge) as address:
        session = json.loads(fetch(address, url).body[1:])["sid"]
        with Connection(address) as client:
            client.send_request("GET", f"{url}&sid={session}")
            until(lambda: bridge.admission.in_flight == 1)
        time.sleep(0.2)
        assert bridge.admission.in_flight == 1, "nothing can interrupt it"
        until(lambda: bridge.admission.in_flight == 0)


@pytest.mark.parametrize("kind", ["Flask-SocketIO", "adopted", "python-socketio"])
def test_clients_that_poll_are_counted(app: flask.Flask, kind: str) -> None:
    if kind == "python-socketio":
        server = socketio.Server(async_mode="threading", ping_interval=1)
        app.wsgi_app = socketio.WSGIApp(server, app.wsgi_app)  # type: ignore[method-assign]
    else:
        extension = flask_socketio.SocketIO(app, async_mode="threading", ping_interval=1)
        if kind == "adopted":
            adopt_socketio(extension)
    polls = count_polls(app)
    url = "/socket.io/?EIO=4&transport=polling"
    with serving(FlaskToAsgi(app)) as address, ExitStack() as stack:
        for number in range(1, 4):
            session = json.loads(fetch(address, url).body[1:])["sid"]
            assert polls.open == number - 1, "that was no poll"
            client = stack.enter_context(Connection(address))
            client.send_request("GET", f"{url}&sid={session}")
            until(lambda: polls.open == number)  # noqa: B023 - is called here
        assert fetch(address, "/none").status == 404
        assert fetch(address, f"{url}&sid=x").status == 400
        until(lambda: polls.open == 0)  # each has got a ping


def test_idle_clients_of_one_that_is_adopted_hold_no_threads(app: flask.Flask) -> None:
    server = flask_socketio.SocketIO(app, async_mode="threading", ping_interval=1, ping_timeout=5)
    adopt_socketio(server)
    before = set(threading.enumerate())
    url = "/socket.io/?EIO=4&transport=websocket"
    with serving(FlaskToAsgi(app), ws="auto") as (host, port), ExitStack() as stack:
        clients = [stack.enter_context(connect(f"ws://{host}:{port}{url}", proxy=None)) for _ in range(20)]
        for client in clients:
            assert client.recv(5)[:1] == "0"
            client.send("40")
            while (told := client.recv(5)) == "2":  # a ping that comes first, on a slow machine
                client.send("3")
            assert told[:2] == "40"
        for _ in range(2):  # pings go on
            for client in clients:
                assert client.recv(5) == "2"
                client.send("3")
        ours = [thread for thread in set(threading.enumerate()) - before if "recv_events" not in thread.name]
        assert len([thread for thread in ours if "keepalive" not in thread.name]) < 10


def test_what_is_touched_of_python_engineio_is_there(app: flask.Flask) -> None:
    """A release that has it otherwise is not adopted, or must be looked at."""
    server = flask_socketio.SocketIO(app, async_mode="threading")
    assert server.server.eio._async.keys() == PARTS
    handler = Socket._websocket_handler.__code__
    names = {constant.co_name for constant in handler.co_consts if hasattr(constant, "co_name")}
    assert {"writer", Socket._send_ping.__name__} == WAITS
    assert "writer" in names
    assert server.sockio_mw.engineio_path == "/socket.io/"


def test_what_can_not_be_adopted_is_told(app: flask.Flask) -> None:
    with pytest.raises(ValueError, match="call adopt_socketio after init_app"):
        adopt_socketio(flask_socketio.SocketIO())
    server = flask_socketio.SocketIO(app, async_mode="threading")
    server.server.eio.async_mode = "gevent"
    with pytest.raises(ValueError, match="async_mode is 'gevent'"):
        adopt_socketio(server)
    server.server.eio.async_mode = "threading"
    server.server.eio._async = {}
    with pytest.raises(RuntimeError, match="keeps its threads elsewhere"):
        adopt_socketio(server)
