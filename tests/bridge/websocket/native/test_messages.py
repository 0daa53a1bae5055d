# SPDX-License-Identifier: MIT
"""What handlers of ``ashapp.websocket`` agree on, send and receive, several tasks at once among them."""

import asyncio
import threading
import time
from typing import Any

import flask
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from ashapp import BlockingWebSocket, WebSocket, websocket
from tests.bridge.websocket.conftest import Open
from tests.support.client import Address, fetch
from tests.support.journal import Journal
from tests.support.waiting import until


def test_the_handshake_is_accepted_as_asked(app: flask.Flask, open_websocket: Open) -> None:
    refused: list[str] = []

    @websocket(app, "/")
    async def handler(ws: WebSocket) -> None:
        offered = ws.subprotocols
        for subprotocol, headers in (
            ("c", ()),
            (None, [("X-Bad", "a\r\nb")]),
            (None, [("Sec-WebSocket-Protocol", "b")]),
        ):
            try:
                await ws.accept(subprotocol, headers)
            except ValueError as error:
                refused.append(str(error))
        await ws.accept(offered[1], [("X-Room", "blue")])
        try:
            await ws.accept()
        except RuntimeError as error:
            refused.append(str(error))

    with open_websocket(subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.response is not None
        assert client.response.headers["X-Room"] == "blue"
    until(lambda: len(refused) == 4)
    assert "['a', 'b']" in refused[0]


@pytest.mark.parametrize(
    ("method", "argument", "error"),
    [
        ("send", 3, TypeError),
        ("close", 999, ValueError),
        ("close", 1005, ValueError),
        ("close", 1016, ValueError),
        ("close", 2999, ValueError),
        ("close", 5000, ValueError),
        ("reason", "ä" * 62, ValueError),
    ],
)
def test_what_can_not_be_sent_is_refused(
    app: flask.Flask, open_websocket: Open, method: str, argument: Any, error: type[Exception]
) -> None:
    @websocket(app, "/")
    async def handler(ws: WebSocket) -> None:
        await ws.accept()
        with pytest.raises(error):
            await (ws.close(1000, argument) if method == "reason" else getattr(ws, method)(argument))
        await ws.send("refused")

    with open_websocket() as client:
        assert client.recv(5) == "refused"


def add_busy_handlers(app: flask.Flask, number: int) -> None:
    """Add handlers of which *number* tasks, or threads, send back at once what they receive."""

    @websocket(app, "/")
    async def handler(ws: WebSocket) -> None:
        async def echo() -> None:
            async for message in ws:
                await ws.send(message * 20_000)

        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(echo())

    @websocket(app, "/threads")
    def blocking_handler(ws: BlockingWebSocket) -> None:
        def echo() -> None:
            for message in ws:
                ws.send(message * 20_000)

        threads = [threading.Thread(target=echo) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_another_event_loop_may_send_and_receive(app: flask.Flask, open_websocket: Open) -> None:
    @websocket(app, "/")
    async def handler(ws: WebSocket) -> None:
        async def echo() -> None:
            async for message in ws:
                await ws.send(message)

        await ws.accept()
        await asyncio.to_thread(asyncio.run, echo())

    with open_websocket() as client:
        for _ in range(3):
            client.send("again")
            assert client.recv(5) == "again"


def test_a_websocket_of_a_sync_handler_does_not_block_the_loop(
    app: flask.Flask, address: Address, open_websocket: Open
) -> None:
    """An async view that uses it is told to use it on a thread."""
    opened: list[BlockingWebSocket] = []

    @websocket(app, "/")
    def handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        opened.append(ws)
        ws.receive()

    @app.get("/tell")
    async def tell() -> str:
        with pytest.raises(RuntimeError, match=r"use it on a thread, as with asyncio.to_thread"):
            opened[0].send("never")
        await asyncio.to_thread(opened[0].send, "told")
        return ""

    with open_websocket() as client:
        until(lambda: opened)
        assert fetch(address, "/tell").status == 200
        assert client.recv(5) == "told"


@pytest.mark.parametrize("path", ["/", "/threads"])
def test_many_send_and_receive_at_once(app: flask.Flask, open_websocket: Open, path: str) -> None:
    """Each message is received once, and none is torn."""
    add_busy_handlers(app, 8)
    messages = [f"{index:04d}" for index in range(32)]
    with open_websocket(path, max_size=None) as client:
        for message in messages:
            client.send(message)
        received = [client.recv(10) for _ in messages]
    assert sorted(received) == [message * 20_000 for message in messages]


def test_who_is_slow_holds_the_other_back(app: flask.Flask, open_websocket: Open, journal: Journal) -> None:
    """In both directions: what is under way is bounded."""
    message, enough = b"x" * 100_000, 200

    @websocket(app, "/out")
    async def flood(ws: WebSocket) -> None:
        for number in range(enough):
            await ws.send(message)
            journal.note("sent", number)

    @websocket(app, "/in")
    async def dam(ws: WebSocket) -> None:
        await ws.accept()
        await asyncio.sleep(60)

    with open_websocket("/out", max_queue=1, compression=None) as client:
        sent = -1
        while sent != len(journal.entries) or not sent:
            sent = len(journal.entries)
            time.sleep(0.5)
        assert sent < enough
        for _ in range(enough):
            assert client.recv(5) == message
    with open_websocket("/in", compression=None) as client:
        client.socket.settimeout(0.5)
        with pytest.raises(ConnectionClosed):
            send_all(client, [message] * enough)


def send_all(client: ClientConnection, messages: list[bytes]) -> None:
    for message in messages:
        client.send(message)


def test_a_receive_may_be_given_up(app: flask.Flask, open_websocket: Open) -> None:
    """It takes no message along."""

    @websocket(app, "/")
    async def handler(ws: WebSocket) -> None:
        await ws.send("ready")
        for _ in range(20):
            try:
                async with asyncio.timeout(0.05):
                    await ws.send(await ws.receive())
            except TimeoutError:
                await ws.send("late")

    with open_websocket() as client:
        assert client.recv(5) == "ready"
        assert client.recv(5) == "late"
        client.send("still there")
        answers = [client.recv(5) for _ in range(19)]
        assert answers.count("still there") == 1
