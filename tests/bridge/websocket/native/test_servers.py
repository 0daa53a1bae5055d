# SPDX-License-Identifier: MIT
"""Native WebSockets under other servers than the one that the tests share."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import flask
import hypercorn.asyncio
import pytest
from hypercorn import Config
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ashapp import WebSocket, WebSocketClosed, websocket
from ashapp.bridge import FlaskToAsgi
from tests.bridge.websocket.native.echoes import add_echoes
from tests.support.client import Address
from tests.support.journal import Journal
from tests.support.server import serving
from tests.support.waiting import until

Serve = Callable[[Any], AbstractContextManager[Address]]


@contextmanager
def serving_by_hypercorn(application: Any) -> Iterator[Address]:
    """Serve *application* until the block ends."""
    config = Config()
    config.accesslog = config.errorlog = None
    stopped = asyncio.Event()
    loop = asyncio.new_event_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    config.bind = [f"fd://{listener.detach()}"]
    served = hypercorn.asyncio.serve(application, config, shutdown_trigger=stopped.wait)
    thread = threading.Thread(target=loop.run_until_complete, args=(served,))
    thread.start()
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(20)
        loop.close()


SERVERS: dict[str, Serve] = {
    "hypercorn": serving_by_hypercorn,
    "wsproto": partial(serving, ws="wsproto", lifespan="off"),
    "h11": partial(serving, ws="websockets-sansio", http="h11", loop="asyncio", lifespan="off"),
}


def add_handlers(app: flask.Flask, journal: Journal) -> None:
    app.teardown_request(lambda _error: journal.note(f"end of {flask.request.path}"))

    add_echoes(app)

    @websocket(app, "/denied")
    async def deny(_ws: WebSocket) -> tuple[str, int]:
        return "not you", 401

    @websocket(app, "/close")
    async def close(ws: WebSocket) -> None:
        await ws.accept("b")
        await ws.close(4000, "enough")

    @websocket(app, "/told")
    async def be_told(ws: WebSocket) -> None:
        await ws.send("ready")
        try:
            await ws.receive()
        except WebSocketClosed:
            journal.note("told")

    @websocket(app, "/ticker")
    async def tick(ws: WebSocket) -> None:
        try:
            while True:
                await ws.send("ready")
                await asyncio.sleep(0.01)
        except WebSocketClosed:
            journal.note("told of")

    @websocket(app, "/idle")
    async def idle(ws: WebSocket) -> None:
        await ws.send("ready")
        await journal.note_cancellation()


@pytest.mark.parametrize("serve", SERVERS.values(), ids=SERVERS)
def test_handlers_work_under(app: flask.Flask, journal: Journal, serve: Serve) -> None:
    add_handlers(app, journal)
    with serve(FlaskToAsgi(app)) as (host, port):
        opened = partial(connect, proxy=None)
        url = f"ws://{host}:{port}"
        for path in ("/echo", "/sync"):
            with opened(url + path) as client:
                for message in ("ä", b"\x00", "", "x" * 100_000):
                    client.send(message)
                    assert client.recv(10) == message
        for path, status in (("/denied", 401), ("/none", 404)):
            with pytest.raises(InvalidStatus) as raised:
                opened(url + path)
            assert raised.value.response.status_code == status
        with opened(f"{url}/close", subprotocols=["a", "b"]) as client:
            with pytest.raises(ConnectionClosed):
                client.recv(10)
            assert (client.subprotocol, client.close_code, client.close_reason) == ("b", 4000, "enough")
        until(lambda: len(journal.entries) == 5)
        journal.clear()
        for path in ("/told", "/ticker", "/idle"):
            with opened(url + path) as client:
                assert client.recv(10) == "ready"
            until(partial(journal.__contains__, f"end of {path}"))
    ends = ["told", "end of /told", "told of", "end of /ticker", "cancelled", "end of /idle"]
    assert journal.names == ends
