# SPDX-License-Identifier: MIT
"""Hundreds of WebSockets that end in every way leave nothing behind, and each is torn down once."""

import asyncio
import gc
import socket
import struct
import sys
import threading
from collections import Counter
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import flask
import pytest
import simple_websocket
from flask_sock import Sock

from ashapp import WebSocket, nonblocking, websocket
from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.websocket.connection import Connection
from tests.bridge.websocket.native.echoes import add_echoes
from tests.support.client import Address, handshake
from tests.support.server import serving
from tests.support.waiting import until

_NUMBER = 600
_MASKED = b"\x81\x82\0\0\0\0hi"
_CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


def add_handlers(app: flask.Flask) -> None:
    add_echoes(app)

    @websocket(app, "/sleep")
    async def sleep(ws: WebSocket) -> None:
        await ws.accept()
        await asyncio.sleep(60)

    @websocket(app, "/group")
    async def group(ws: WebSocket) -> None:
        await ws.accept()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(ws.receive())
            tasks.create_task(asyncio.sleep(60))

    @websocket(app, "/<end>")
    async def end(ws: WebSocket, end: str) -> None:
        await ws.receive()
        if end == "fail":
            raise LookupError
        await ws.close(4000, "enough")

    app.register_error_handler(LookupError, lambda _error: ("", 500))


def add_library_handlers(app: flask.Flask) -> None:
    def library(ws: simple_websocket.Server, end: str) -> None:
        while True:
            ws.send(ws.receive())
            if end == "fail":
                raise LookupError

    sock = Sock(app)
    sock.route("/library/<end>")(library)
    sock.route("/quick/<end>", endpoint="quick")(nonblocking(library))


def drop(address: Address, path: str, end: str) -> None:
    """Open a WebSocket, or begin to, and end it."""
    head = handshake(path)
    with suppress(OSError), socket.create_connection(address[:2]) as client:  # it may be closed by then
        if end == "half":
            client.sendall(head[:80])
            return
        client.sendall(head)
        if end == "at once":
            return
        client.recv(4096)
        client.sendall(_MASKED * (200 if end == "flood" else 1))
        if end == "close":
            client.sendall(_CLOSE)
            client.settimeout(10)
            while client.recv(4096):
                pass
        elif end == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def census() -> dict[str, int]:
    """Count what may leak."""
    gc.collect()
    kinds = Counter(type(thing).__name__ for thing in gc.get_objects())
    return {
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        **{
            kind: kinds[kind]
            for kind in ("Connection", "LoopCall", "ThreadCall", "Task", "RequestContext", "Relay")
        },
    }


@pytest.mark.timeout(180)  # of some seconds' work, on a machine that has much else to do
@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_nothing_is_left_behind(app: flask.Flask) -> None:
    begun: Counter[Any] = Counter()
    torn_down: Counter[Any] = Counter()
    add_handlers(app)
    add_library_handlers(app)

    @app.before_request
    def begin() -> None:
        begun[id(flask.request.environ["asgi.scope"])] += 1
        scopes.append(flask.request.environ["asgi.scope"])  # its identity must not be given again

    scopes: list[Any] = []
    app.teardown_request(lambda _error: torn_down.update([id(flask.request.environ["asgi.scope"])]))
    paths = ["/echo", "/sync", "/fail", "/sleep", "/group", "/close", "/no/rule"]
    paths += ["/library/close", "/library/fail", "/quick/close", "/quick/fail"]
    ends = ["close", "reset", "gone", "half", "at once", "flood"]
    bridge = FlaskToAsgi(app)
    with serving(bridge, ws="auto", lifespan="off") as address:
        every = [(path, end) for path in paths for end in ends]
        for path, end in every:
            drop(address, path, end)
        until(lambda: not bridge.websockets.open)
        before = census()
        for path, end in islice(cycle(every), _NUMBER):
            drop(address, path, end)
        until(lambda: not bridge.websockets.open, 60)
        assert not bridge.departures.members
        # Those of pools end by and by.
        until(lambda: threading.active_count() <= before["threads"] + 20)
        after = census()
    assert torn_down == begun
    assert set(torn_down.values()) == {1}
    assert {kind: after[kind] - before[kind] for kind in before if after[kind] > before[kind] + 25} == {}
    assert Connection.__name__ in before
