# SPDX-License-Identifier: MIT
"""A connection with a server that is a table: what it is told, and what the server gets."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import flask
import pytest

from ashapp import FlaskToAsgi, WebSocket, WebSocketClosed, websocket
from ashapp.bridge.messages.types import Message, Scope
from ashapp.bridge.websocket.connection import Connection
from ashapp.bridge.websocket.state import State
from tests.support.waiting import eventually

GONE: Message = {"type": "websocket.disconnect", "code": 4001, "reason": "bye"}
TEXT: Message = {"type": "websocket.receive", "text": "hello"}


class Server:
    """A server that gives *events* and then nothing, and fails to send past *capacity* messages."""

    def __init__(self, *events: Message | Exception, capacity: int = 1000) -> None:
        self.events: asyncio.Queue[Message | Exception] = asyncio.Queue()
        for event in events:
            self.events.put_nowait(event)
        self.capacity = capacity
        self.sent: list[Message] = []
        self.is_full = False

    async def receive(self) -> Message:
        event = await self.events.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def send(self, message: Message) -> None:
        await asyncio.sleep(60 if self.is_full else 0)
        if len(self.sent) >= self.capacity:
            raise RuntimeError("closed")
        self.sent.append(message)

    @property
    def kinds(self) -> list[str]:
        return [message["type"].removeprefix("websocket.") for message in self.sent]


def scope(**changes: Any) -> Scope:
    return {
        "type": "websocket",
        "http_version": "1.1",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "subprotocols": [],
        **changes,
    }


def connect(server: Server, **changes: Any) -> Connection:
    return Connection(scope(**changes), server.receive, server.send, asyncio.get_running_loop())


@pytest.mark.parametrize(
    ("events", "code"), [((), 1006), ((GONE,), 4001), ((TEXT, GONE), 4001), ((OSError(),), 1006)]
)
async def test_a_send_that_fails_tells_why(events: tuple[Message | Exception, ...], code: int) -> None:
    """As far as the server tells that in a moment."""
    connection = connect(Server(*events, capacity=1))
    await connection.accept()
    with pytest.raises(WebSocketClosed) as raised:
        await connection.send("late")
    assert raised.value.code == code
    assert isinstance(raised.value.__cause__, RuntimeError)


async def test_who_only_sends_does_not_hold_up_others() -> None:
    """Not even where the server never lets it wait: so it learns that the peer has gone, too."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if is_gone.is_set():
            raise RuntimeError("closed")
        sent.append(message)

    is_gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    connection = Connection(scope(), Server(GONE).receive, send, loop)
    loop.call_soon(loop.call_soon, is_gone.set)
    with pytest.raises(WebSocketClosed, match="4001"):
        await send_often(connection, 1000)
    assert len(sent) < 100


async def send_often(connection: Connection, times: int) -> None:
    for _ in range(times):
        await connection.send("x")


@pytest.mark.parametrize("ahead", [0, 1])
async def test_a_receive_that_fails_is_the_end(caplog: pytest.LogCaptureFixture, ahead: int) -> None:
    server = Server()
    connection = connect(server)
    receivers = [asyncio.ensure_future(connection.receive()) for _ in range(1 + ahead)]
    await eventually(lambda: server.kinds == ["accept"])
    server.events.put_nowait(ValueError("broken"))
    for receiver in receivers:
        with pytest.raises(WebSocketClosed, match="1006"):
            await receiver
    assert [record.message for record in caplog.records] == [
        "receive() failed; taken for the end of the WebSocket"
    ]


@pytest.mark.parametrize("takes_response", [1, 0])
async def test_a_denial(takes_response: int) -> None:
    """A server that knows no responses to a handshake answers with 403."""
    server = Server()
    connection = connect(server, extensions={"websocket.http.response": {}} if takes_response else None)
    await connection.answer({"type": "http.response.start", "status": 401, "headers": []})
    await connection.answer({"type": "http.response.body", "body": b"no", "more_body": False})
    assert server.kinds == (["http.response.start", "http.response.body"] if takes_response else ["close"])
    for use in (connection.receive, connection.accept, lambda: connection.send("x")):
        with pytest.raises(WebSocketClosed, match="denied"):
            await use()
    await connection.close()
    assert connection.state is State.DENIED


async def test_a_handshake_that_is_not_answered_when_the_service_ends_is_denied() -> None:
    """Whoever answers it then is told, and who does not is abandoned."""
    server, abandoned = Server(), asyncio.Event()
    connection = connect(server, extensions={"websocket.http.response": {}})
    connection.watch(abandoned.set)
    await connection.leave()
    await connection.answer({"type": "http.response.start", "status": 401, "headers": []})
    await connection.leave()
    assert server.kinds == ["http.response.start", "http.response.body"]
    assert server.sent[0]["status"] == 503
    async with asyncio.timeout(20):
        await abandoned.wait()
    with pytest.raises(WebSocketClosed, match="denied"):
        await connection.accept()
    connection.stop()


async def test_what_nobody_receives_is_bounded() -> None:
    """As it was received before, it is told in order when somebody does."""
    abandoned: list[int] = []
    server = Server(*[{**TEXT, "text": f"{number:0100000d}"} for number in range(10)])
    connection = connect(server)
    await connection.accept()
    connection.watch(lambda: abandoned.append(1))
    await eventually(lambda: server.events.qsize() < 8)
    await asyncio.sleep(0.05)
    assert server.events.qsize() > 5
    server.events.put_nowait(GONE)
    assert [int((await connection.receive())[-9:]) for _ in range(10)] == list(range(10))
    with pytest.raises(WebSocketClosed, match="4001 bye"):
        await connection.receive()
    await asyncio.sleep(1.2)
    assert not abandoned
    connection.stop()


async def test_no_message_is_lost_where_a_wait_for_it_is_cancelled() -> None:
    """Also of a server that goes on with the wait, as granian does: its receive() is none of Python's."""
    events: deque[asyncio.Future[Message]] = deque(asyncio.Future() for _ in range(2))
    first = events[0]
    connection = Connection(scope(), events.popleft, Server().send, asyncio.get_running_loop())
    await connection.accept()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connection.receive(), 0.01)
    assert not first.cancelled()
    first.set_result(TEXT)
    assert await connection.receive() == "hello"


async def test_only_one_closes() -> None:
    server = Server()
    connection = connect(server)
    await connection.accept()
    await asyncio.gather(
        connection.close(4000), connection.close(4001), connection.leave(), return_exceptions=True
    )
    assert server.sent[1:] == [{"type": "websocket.close", "code": 4000, "reason": ""}]


@pytest.mark.parametrize("capacity", [1, 2])
async def test_a_handler_that_is_not_told_to_leave_is_abandoned(capacity: int) -> None:
    """Also where the client has gone, so that the server can't close."""
    abandoned = asyncio.Event()
    connection = connect(Server(capacity=capacity))
    await connection.accept()
    connection.watch(abandoned.set)
    await connection.leave()
    async with asyncio.timeout(20):
        await abandoned.wait()
    connection.stop()


@pytest.fixture
async def serve(app: flask.Flask) -> AsyncIterator[Callable[..., asyncio.Task[None]]]:
    """Begin to serve a scope by ``app``."""
    bridge = FlaskToAsgi(app)

    def begin(server: Server, **changes: Any) -> asyncio.Task[None]:
        server.events.put_nowait({"type": "websocket.connect"})
        return asyncio.create_task(bridge(scope(**changes), server.receive, server.send))

    yield begin
    assert bridge.websockets.open == 0


async def test_a_head_that_contradicts_itself_is_denied(serve: Callable[..., asyncio.Task[None]]) -> None:
    server = Server()
    await serve(
        server, headers=[(b"host", b"a"), (b"host", b"b")], extensions={"websocket.http.response": {}}
    )
    assert server.sent[0]["status"] == 400


@pytest.mark.parametrize("takes_close", [1, 0])
async def test_who_is_cancelled_closes_with_1012(
    app: flask.Flask, serve: Callable[..., asyncio.Task[None]], takes_close: int
) -> None:
    """It does not wait for long, where the client takes nothing."""

    @websocket(app, "/")
    async def handler(ws: WebSocket) -> None:
        await ws.receive()

    server = Server()
    task = serve(server)
    await eventually(lambda: server.kinds == ["accept"])
    server.is_full = not takes_close
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.kinds == ["accept", "close"][: 1 + takes_close]
    assert server.sent[-1].get("code") == (1012 if takes_close else None)


@pytest.mark.parametrize("accepts", [1, 0])
async def test_what_flask_lets_through_reaches_the_server(
    app: flask.Flask, serve: Callable[..., asyncio.Task[None]], accepts: int
) -> None:
    """As in tests, where ``PROPAGATE_EXCEPTIONS`` is on. The server answers a handshake with 500 then."""
    app.testing = True

    @websocket(app, "/")
    async def handler(ws: WebSocket) -> None:
        if accepts:
            await ws.accept()
        raise LookupError

    server = Server()
    with pytest.raises(LookupError):
        await serve(server)
    assert server.kinds == (["accept", "close"] if accepts else [])


@pytest.mark.parametrize("max_size", [0, -1])
def test_a_size_that_no_message_has_is_refused(app: flask.Flask, max_size: int) -> None:
    with pytest.raises(ValueError, match="expected 1 or more bytes"):
        websocket(app, "/", max_size=max_size)


def test_a_wsgi_server_can_not_serve_a_handler(app: flask.Flask) -> None:
    @websocket(app, "/")
    def handler(_ws: object) -> None:
        pass

    app.testing = True
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    with pytest.raises(RuntimeError, match="FlaskToAsgi alone"):
        app.test_client().get("/", headers=headers)
