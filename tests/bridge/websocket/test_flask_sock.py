# SPDX-License-Identifier: MIT
"""Flask-Sock and simple-websocket, unchanged, with real clients."""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import flask
import pytest
import simple_websocket
import websocket as websocket_client
from flask_sock import Sock
from websockets.sync.client import connect

from ashapp import FlaskToAsgi, nonblocking, websocket
from tests.bridge.websocket.conftest import Open, ending
from tests.support.client import HANDSHAKE, Address, Fields, fetch
from tests.support.journal import Journal
from tests.support.server import serving
from tests.support.waiting import until

#: Who reads, as the application has it or as the bridge does; and a handler that is on the loop, too.
CLASSES: dict[str, dict[str, Any]] = {
    "thread": {"thread_class": threading.Thread},
    "greenlet": {},
    "nonblocking": {},
}


@pytest.fixture(params=CLASSES)
def sock(app: flask.Flask, journal: Journal, request: pytest.FixtureRequest) -> Sock:
    """A handler that sends back what it receives, and notes with what the client has closed."""
    sock = Sock(app)
    app.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": ["chat"], **CLASSES[request.param]}

    @sock.route("/echo")
    @(nonblocking if request.param == "nonblocking" else lambda handler: handler)
    def echo(ws: simple_websocket.Server) -> None:
        try:
            while True:
                ws.send(ws.receive())
        except simple_websocket.ConnectionClosed as closed:
            journal.note("closed", (int(closed.reason), closed.message or ""))
            raise

    @app.teardown_request
    def teardown(_error: BaseException | None) -> None:
        journal.note("teardown", flask.request.path)

    return sock


def denial(address: Address, path: str, **options: Any) -> int:
    url = f"ws://{address[0]}:{address[1]}{path}"
    with pytest.raises(websocket_client.WebSocketBadStatusException) as raised:
        websocket_client.create_connection(url, redirect_limit=0, **options)
    status: int = raised.value.status_code
    return status


@pytest.mark.usefixtures("sock")
@pytest.mark.parametrize("message", ["é", b"\0\xff", "", b"", "x" * 70_000, b"x" * (1 << 20)], ids=len)
def test_messages_come_back(open_websocket: Open, message: str | bytes) -> None:
    with open_websocket("/echo") as client:
        client.send(message)
        assert client.recv(5) == message


@pytest.mark.usefixtures("sock")
def test_the_subprotocol_is_agreed_on_by_the_library(open_websocket: Open) -> None:
    for offered, chosen in ((["other", "chat"], "chat"), (["other"], None)):
        with open_websocket("/echo", subprotocols=offered) as client:
            assert client.subprotocol == chosen


@pytest.mark.usefixtures("sock")
@pytest.mark.parametrize(
    ("close", "told"),
    [
        (lambda client: client.close(1000), (1000, "")),
        (lambda client: client.close(4001, "bye"), (4001, "bye")),
        (lambda client: client.socket.close(), (1005, "")),  # so the library calls it
    ],
    ids=["plain", "code and reason", "vanished"],
)
def test_the_handler_is_told_how_the_client_has_closed(
    open_websocket: Open, journal: Journal, close: Callable[[Any], None], told: tuple[int, str]
) -> None:
    with open_websocket("/echo") as client:
        client.send("x")
        client.recv(5)
        close(client)
        until(lambda: len(journal.entries) == 2)
    assert [(entry.name, entry.value) for entry in journal.entries] == [
        ("closed", told),
        ("teardown", "/echo"),
    ]


def test_the_client_is_told_how_the_handler_has_closed(sock: Sock, open_websocket: Open) -> None:
    @sock.route("/close/<int:code>")
    def close(ws: simple_websocket.Server, code: int) -> None:
        ws.send("last")
        ws.close(code, "bye")

    for code in (1000, 1001, 1008, 4999):
        with open_websocket(f"/close/{code}") as client:
            assert client.recv(5) == "last"
            assert ending(client) == (code, "bye")


def test_a_handler_that_returns_closes_with_1000(sock: Sock, open_websocket: Open) -> None:
    sock.route("/")(lambda ws: ws.send("last"))
    with open_websocket("/") as client:
        assert client.recv(5) == "last"
        assert ending(client) == (1000, "")


def test_a_handler_that_raises_closes_with_1011_and_is_logged_once(
    sock: Sock, open_websocket: Open, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    @sock.route("/")
    def fail(ws: simple_websocket.Server) -> None:
        ws.send("first")
        raise ZeroDivisionError

    with open_websocket("/") as client:
        assert client.recv(5) == "first"
        assert ending(client) == (1011, "")
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "Exception on / [GET]"
    ]
    assert [(entry.name, entry.value) for entry in journal.entries] == [("teardown", "/")]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/denied", 401), ("/missing", 404), ("/broken", 500), ("/a/plain", 400)],
)
def test_what_answers_before_the_handler_denies(
    app: flask.Flask, sock: Sock, address: Address, path: str, status: int
) -> None:
    app.add_url_rule("/a/plain", view_func=lambda: "plain")
    sock.route("/<path>", endpoint="never")(lambda ws, path: ws.send("never"))

    @app.before_request
    def hook() -> Any:
        if flask.request.path == "/denied":
            flask.abort(401)
        if flask.request.path == "/broken":
            raise ZeroDivisionError
        if flask.request.path == "/missing":
            return "no", 404
        return None

    assert denial(address, path) == status


@pytest.mark.usefixtures("sock")
@pytest.mark.parametrize("upgrade", [(), HANDSHAKE], ids=["plain", "upgrade"])
def test_a_request_for_its_rule_is_400(app: flask.Flask, upgrade: Fields) -> None:
    """An upgrade that the server does not take changes nothing, for other rules neither."""
    websocket(app, "/native", endpoint="native")(lambda ws: ws.send("never"))
    app.add_url_rule("/plain", view_func=lambda: "plain")
    with serving(FlaskToAsgi(app), ws="none") as address:
        for path, status in (("/echo", 400), ("/native", 400), ("/plain", 200)):
            assert fetch(address, path, fields=upgrade).status == status


@pytest.mark.usefixtures("sock")
def test_a_host_that_is_no_name_is_400(address: Address) -> None:
    assert denial(address, "/echo", host="x" * 64) == 400


def test_pings_of_the_library_are_answered(app: flask.Flask, sock: Sock, open_websocket: Open) -> None:
    app.config["SOCK_SERVER_OPTIONS"]["ping_interval"] = 0.3
    with open_websocket("/echo") as client:
        time.sleep(1)
        client.send("x")
        assert client.recv(5) == "x"


def test_the_handler_and_its_threads_may_send_at_once(sock: Sock, open_websocket: Open) -> None:
    """Nothing cuts in two what is longer than the buffers of the kernel, and so written in parts."""

    @sock.route("/")
    def flood(ws: simple_websocket.Server) -> None:
        def send(number: int) -> None:
            for _ in range(10):
                ws.send(bytes([number]) * 500_000)

        for number in range(3):
            threading.Thread(target=send, args=(number,)).start()
        send(3)
        ws.receive()

    with open_websocket("/", max_queue=1) as client:
        assert Counter(client.recv(5) for _ in range(40)) == {
            bytes([number]) * 500_000: 10 for number in range(4)
        }
        client.send("enough")


def test_the_request_is_there_for_the_life_of_the_socket(
    app: flask.Flask, sock: Sock, open_websocket: Open, address: Address
) -> None:
    environs: list[dict[str, Any]] = []

    @sock.route("/user/<name>")
    def user(ws: simple_websocket.Server, name: str) -> None:
        environs.append(flask.request.environ)
        peer = flask.request.environ["werkzeug.socket"].getpeername()
        ws.receive()
        ws.send(f"{name} {flask.request.args['q']} {flask.request.cookies['c']} {flask.request.scheme}")
        ws.send(f"{peer[0]} {flask.request.origin} {flask.url_for('user', name='other', _external=True)}")

    with open_websocket("/user/ada?q=1", additional_headers={"Cookie": "c=2"}, origin="http://x") as client:
        client.send("go")
        assert client.recv(5) == "ada 1 2 http"
        assert client.recv(5) == f"127.0.0.1 http://x ws://127.0.0.1:{address[1]}/user/other"
    until(lambda: "werkzeug.socket" not in environs[0])
    with app.request_context(environs[0]):
        assert flask.request.path == "/user/ada"


def test_a_slow_client_holds_the_handler_back(sock: Sock, open_websocket: Open) -> None:
    sent: list[int] = []

    @sock.route("/")
    def flood(ws: simple_websocket.Server) -> None:
        for number in range(300):
            ws.send(os.urandom(100_000))
            sent.append(number)

    with open_websocket("/", max_queue=1) as client:
        client.recv(5)
        time.sleep(0.5)
        assert len(sent) < 250
        for _ in range(299):
            client.recv(5)
        assert ending(client)[0] == 1000


def test_a_slow_handler_holds_the_client_back(sock: Sock, open_websocket: Open) -> None:
    """The library reads on, but not past the messages that its buffer was given. A raw one does not."""
    go = threading.Event()

    @sock.route("/")
    def slow(ws: simple_websocket.Server) -> None:
        go.wait(10)
        ws.send(str(sum(len(ws.receive()) for _ in range(100))))

    with open_websocket("/") as client:
        for _ in range(100):
            client.send(b"x" * 10_000)
        go.set()
        assert client.recv(5) == "1000000"


@pytest.mark.parametrize(("kind", "each"), [("thread", 2), ("greenlet", 1), ("nonblocking", 0)])
def test_how_many_threads_an_idle_websocket_holds(app: flask.Flask, kind: str, each: int) -> None:
    sock = Sock(app)
    app.config["SOCK_SERVER_OPTIONS"] = CLASSES[kind]

    def echo(ws: simple_websocket.Server) -> None:
        while True:
            ws.send(ws.receive())

    sock.route("/")(nonblocking(echo) if kind == "nonblocking" else echo)
    before = set(threading.enumerate())
    with serving(FlaskToAsgi(app), ws="auto") as (host, port), ExitStack() as stack:
        clients = [stack.enter_context(connect(f"ws://{host}:{port}/", proxy=None)) for _ in range(10)]
        for client in clients:
            client.send("x")
        assert [client.recv(10) for client in clients] == ["x"] * 10
        names = [thread.name for thread in set(threading.enumerate()) - before]
        held = [name for name in names if name.startswith("ashapp-websocket") or "simple_websocket" in name]
        assert len(held) == 10 * each
