# SPDX-License-Identifier: MIT
"""The socket of the environ, for views that speak the protocol on it themselves."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import flask
import pytest
from websockets.exceptions import InvalidStatus
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import connect

from ashapp import WsgiToAsgi
from ashapp.bridge.messages.errors import RequestRejected
from ashapp.bridge.messages.types import Environ, StartResponse
from ashapp.bridge.websocket.connection import CONNECTION, Connection
from ashapp.bridge.websocket.libraries.relay import Relay
from tests.bridge.websocket.conftest import Open, ending
from tests.support.server import serving
from tests.support.waiting import until

ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"

Handler = Callable[[socket.socket], Any]


def frame(opcode: Opcode, data: bytes = b"") -> bytes:
    return Frame(opcode, data).serialize(mask=False)


@pytest.fixture
def serve_raw(app: flask.Flask, open_websocket: Open) -> Callable[[Handler], Open]:
    """A function that lets a handler have the socket, and returns what opens a WebSocket to it."""

    def serve(handler: Handler) -> Open:
        def view() -> Any:
            return handler(flask.request.environ["werkzeug.socket"]) or ""

        app.add_url_rule("/", view_func=view, websocket=True)
        return open_websocket

    return serve


def close_twice(connection: socket.socket) -> None:
    connection.sendall(ACCEPT + frame(Opcode.CLOSE, Close(4000, "").serialize()))
    for _ in range(100):  # more than the buffers of the kernel hold
        connection.sendall(frame(Opcode.BINARY, b"x" * 10_000))


def end_without_a_close(connection: socket.socket) -> None:
    connection.sendall(ACCEPT)
    connection.close()
    time.sleep(0.1)


def flood(connection: socket.socket) -> None:
    connection.sendall(ACCEPT + frame(Opcode.PING, b"?") * 2000 + frame(Opcode.TEXT, b"last"))


def write_nonsense(connection: socket.socket) -> None:
    connection.sendall(ACCEPT + b"\xff\xff")
    assert connection.recv(100)


def choose_what_was_not_offered(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: chat\r\n\r\n")


def raise_when_accepted(connection: socket.socket) -> None:
    connection.sendall(ACCEPT)
    raise SystemError


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (close_twice, 4000),
        (end_without_a_close, 1011),
        (flood, 1000),
        (write_nonsense, 1011),
        (raise_when_accepted, 1011),
    ],
)
def test_how_it_ends(serve_raw: Callable[[Handler], Open], handler: Handler, code: int) -> None:
    with serve_raw(handler)("/") as client:
        assert ending(client)[0] == code


def test_a_client_that_has_gone_ends_what_is_written_and_read(serve_raw: Callable[[Handler], Open]) -> None:
    errors: list[object] = []

    def write(connection: socket.socket) -> None:
        connection.sendall(ACCEPT)
        try:
            while True:
                connection.sendall(frame(Opcode.TEXT, b"x"))
                time.sleep(0.01)
        except OSError as error:
            errors.append(type(error))
            errors.append(connection.recv(10)[:1])

    with serve_raw(write)("/") as client:
        client.recv(5)
        client.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: len(errors) == 2)
    assert errors == [BrokenPipeError, b""]


def test_a_pong_does_not_cut_a_message_in_two(serve_raw: Callable[[Handler], Open]) -> None:
    """The application pings while a message waits, half written, for it to read."""
    size = 2_000_000
    read = bytearray()
    is_full = threading.Event()

    def handle(connection: socket.socket) -> None:
        connection.sendall(ACCEPT)
        is_full.wait(10)
        connection.sendall(frame(Opcode.PING, b"?") * 10)
        time.sleep(0.2)
        while len(read) < size + 14 + 10 * 7:
            read.extend(connection.recv(65536))

    with serve_raw(handle)("/") as client:
        client.send(b"x" * size)
        time.sleep(0.2)
        is_full.set()
        assert ending(client)[0] == 1000
    assert [read[:2], read[size + 14 : size + 16]] == [b"\x82\xff", b"\x8a\x81"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"HTTP/1.1 426 Upgrade Required\r\n\r\n", 426), (b"what?\r\n\r\n", 500)],
)
def test_a_refusal_by_the_library_denies(
    serve_raw: Callable[[Handler], Open], answer: bytes, status: int
) -> None:
    with pytest.raises(InvalidStatus) as raised:
        serve_raw(lambda connection: connection.sendall(answer))("/")
    assert raised.value.response.status_code == status


async def test_no_socket_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socketpair", fail)
    with pytest.raises(RequestRejected, match="no socket for a WebSocket: Too many open files") as raised:
        Relay({}, Connection({}, None, None, asyncio.get_running_loop()))  # type: ignore[arg-type]
    assert raised.value.status == 503


@pytest.mark.parametrize(
    ("error", "logged"), [(StopIteration, 0), (ConnectionError, 0), (SystemError, 1), (None, 0)]
)
@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_what_comes_back_when_it_is_over(
    loop: Literal["uvloop", "asyncio"],
    error: type[Exception] | None,
    logged: int,
    closes: bool,  # noqa: FBT001
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As python-engineio and Flask-Sock end, in the modes of other servers and in earlier releases."""

    def application(environ: Environ, _start_response: StartResponse) -> list[bytes]:
        connection = environ["werkzeug.socket"]
        connection.sendall(ACCEPT)
        until(lambda: environ[CONNECTION].is_accepted)
        # So that the loop learns of all that follows at once.
        environ[CONNECTION].loop.call_soon_threadsafe(time.sleep, 0.2)
        time.sleep(0.1)
        if closes:
            connection.sendall(frame(Opcode.CLOSE, Close(4000, "").serialize()))
        if error is not None:
            raise error
        return []

    with (
        serving(WsgiToAsgi(application), ws="auto", loop=loop) as (host, port),
        connect(f"ws://{host}:{port}/", proxy=None) as client,
    ):
        assert ending(client)[0] == (4000 if closes else 1011)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len([record for record in errors if not record.name.startswith("engineio")]) == logged


def test_a_subprotocol_that_was_not_offered_denies(
    serve_raw: Callable[[Handler], Open], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidStatus):
        serve_raw(choose_what_was_not_offered)("/")
    assert "what / wrote can't be passed on" in caplog.messages
