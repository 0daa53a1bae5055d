# SPDX-License-Identifier: MIT
"""How a WebSocket of ``ashapp.websocket`` ends: by its handler, by its client, by what goes wrong."""

import asyncio
import logging
import socket
import struct
import time
from functools import partial
from typing import Any

import flask
import pytest
from websockets.sync.client import ClientConnection
from werkzeug.exceptions import NotFound

from ashapp import BlockingWebSocket, WebSocket, WebSocketClosed, websocket
from tests.bridge.websocket.conftest import Open, ending
from tests.support.journal import Journal
from tests.support.waiting import until


def vanish(client: ClientConnection) -> None:
    """Let the client go without a word: its host resets the connection."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.shutdown(socket.SHUT_RD)
    client.socket.close()


def add_endings(app: flask.Flask) -> None:
    """Add handlers that end in many ways."""
    failures = {
        "fail": ValueError("broken"),
        "handled": LookupError(),
        "abort": NotFound(),
        "exit": SystemExit(3),
        "generator": GeneratorExit(),
    }

    @app.errorhandler(LookupError)
    def handle(_error: LookupError) -> tuple[str, int]:
        return "handled", 503

    @websocket(app, "/<what>", max_size=10)
    async def handler(ws: WebSocket, what: str) -> Any:
        await ws.accept()
        if what in failures:
            raise failures[what]
        if what == "json":
            await ws.receive_json()
        if what == "long":
            await ws.receive()
        return "dropped", 500

    @websocket(app, "/close")
    async def close(ws: WebSocket) -> None:
        await ws.accept()
        await ws.close(4000, "enough ä")

    @websocket(app, "/after")
    async def go_on(ws: WebSocket) -> None:
        await ws.accept()
        await ws.close()
        for use in (ws.receive, partial(ws.send, "more")):
            with pytest.raises(WebSocketClosed, match="1000"):
                await use()

    @websocket(app, "/sync")
    def blocking_handler(ws: BlockingWebSocket) -> None:
        ws.accept()
        raise ValueError


@pytest.mark.parametrize(
    ("path", "code", "reason", "logged"),
    [
        ("/return", 1000, "", 0),
        ("/close", 4000, "enough ä", 0),
        ("/fail", 1011, "", 1),
        ("/handled", 1011, "", 0),
        ("/exit", 1011, "", 1),
        ("/generator", 1011, "", 1),
        ("/abort", 1008, "", 0),
        ("/json", 1008, "", 0),
        ("/long", 1009, "a message may have 10 bytes", 0),
        ("/sync", 1011, "", 1),
        ("/after", 1000, "", 0),
    ],
)
def test_what_the_client_is_told(
    app: flask.Flask,
    open_websocket: Open,
    caplog: pytest.LogCaptureFixture,
    path: str,
    code: int,
    reason: str,
    logged: int,
) -> None:
    """A failure is logged once, with its route."""
    torn_down: list[BaseException | None] = []
    app.teardown_request(torn_down.append)

    add_endings(app)
    with open_websocket(path) as client:
        if path in {"/json", "/long"}:
            client.send("äöü" if path == "/json" else "äöüäöü")
        assert ending(client) == (code, reason)
    until(lambda: torn_down)
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(records) == logged
    if logged and path not in {"/exit", "/generator"}:
        assert records[0].exc_text is not None
        assert (
            f"In the WebSocket handler of /{'sync' if path == '/sync' else '<what>'}" in records[0].exc_text
        )
    assert len(torn_down) == 1


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(
    ("leave", "told"),
    [
        (lambda client: client.close(3333, "bye"), (3333, "bye")),
        (vanish, (1006, "")),
    ],
    ids=["closes", "vanishes"],
)
def test_who_receives_is_told_that_the_client_has_gone(
    app: flask.Flask, open_websocket: Open, journal: Journal, leave: Any, told: Any, kind: str
) -> None:
    """When it has received all that came before, and so is who sends."""
    app.teardown_request(lambda error: journal.note("teardown", error))

    async def handler(ws: WebSocket) -> None:
        await ws.send("ready")
        await asyncio.sleep(0.3)
        journal.note("received", await ws.receive())
        for use in (ws.receive, lambda: ws.send("late")):
            try:
                await use()
            except WebSocketClosed as error:
                journal.note("told", (error.code, error.reason))
        await asyncio.sleep(0.05)
        journal.note("cleaned up")

    def blocking_handler(ws: BlockingWebSocket) -> None:
        ws.send("ready")
        time.sleep(0.3)
        journal.note("received", ws.receive())
        for use in (ws.receive, lambda: ws.send("late")):
            try:
                use()
            except WebSocketClosed as error:
                journal.note("told", (error.code, error.reason))
        journal.note("cleaned up")

    websocket(app, "/", endpoint="handler")(handler if kind == "async" else blocking_handler)
    with open_websocket() as client:
        assert client.recv(5) == "ready"
        client.send("last")
        if leave is vanish:
            time.sleep(0.1)
        leave(client)
    until(lambda: "teardown" in journal)
    assert journal.names == ["received", "told", "told", "cleaned up", "teardown"]
    assert [entry.value for entry in journal.entries] == ["last", told, told, None, None]


@pytest.mark.parametrize("unread", [0, 3])
def test_a_handler_that_never_looks_is_cancelled(
    app: flask.Flask, open_websocket: Open, journal: Journal, unread: int
) -> None:
    app.teardown_request(lambda error: journal.note("teardown"))

    @websocket(app, "/")
    async def handler(ws: WebSocket) -> None:
        await ws.send("ready")
        await journal.note_cancellation()

    with open_websocket() as client:
        assert client.recv(5) == "ready"
        for _ in range(unread):
            client.send("unread")
    until(lambda: "teardown" in journal)
    assert journal.names == ["cancelled", "teardown"]


def test_a_handler_that_still_works_is_not_cancelled_at_once(
    app: flask.Flask, open_websocket: Open, journal: Journal
) -> None:
    """A client may send, and close right away."""

    @websocket(app, "/")
    async def handler(ws: WebSocket) -> None:
        await ws.accept()
        async for message in ws:
            await asyncio.sleep(0.2)
            journal.note(str(message))
        journal.note("end")

    with open_websocket() as client:
        for number in range(5):
            client.send(str(number))
    until(lambda: "end" in journal)
    assert journal.names == ["0", "1", "2", "3", "4", "end"]
