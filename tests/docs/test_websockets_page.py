# SPDX-License-Identifier: MIT
"""What docs/websockets.md shows, served."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ashapp import FlaskToAsgi
from tests.support.page import Page
from tests.support.server import serving
from tests.support.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "websockets.md"


def test_the_snippets_are_an_application_that_serves(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(compile(Page(PAGE).python(), PAGE.name, "exec"), names)
    with serving(FlaskToAsgi(names["app"]), ws="auto") as (host, port):
        with connect(f"ws://{host}:{port}/echo", proxy=None) as echo:
            echo.send("hello")
            assert echo.recv(5) == "hello"
        with connect(f"ws://{host}:{port}/rooms/3?user=ada", proxy=None) as room:
            assert json.loads(room.recv(5)) == {"user": "ada", "room": 3}
            room.send("hello")
            assert room.recv(5) == "ada: hello"
        for path, status in (("/rooms/100", 404), ("/rooms/x", 404), ("/rooms/3?token=wrong", 401)):
            with pytest.raises(InvalidStatus) as raised:
                connect(f"ws://{host}:{port}{path}", proxy=None)
            assert raised.value.response.status_code == status
        with connect(f"ws://{host}:{port}/news", proxy=None) as news:
            until(lambda: names["listeners"])
            assert httpx.post(f"http://{host}:{port}/news", content="hello").status_code == 204
            assert news.recv(5) == "hello"
        until(lambda: not names["listeners"])
        with connect(f"ws://{host}:{port}/ticker", proxy=None) as ticker:
            ticker.send("go on")
            assert json.loads(ticker.recv(5)) == {"price": 0}
        until(lambda: "the client has gone: the WebSocket is closed: 1000" in capsys.readouterr().out)
        with connect(f"ws://{host}:{port}/echo/blocking", proxy=None) as echo:
            echo.send("hello")
            assert echo.recv(5) == "hello"
        with connect(f"ws://{host}:{port}/upper", proxy=None) as upper:
            upper.send("hello")
            assert upper.recv(5) == "HELLO"
        client = socketio.Client()
        ordered: list[str] = []
        client.on("ordered", ordered.append)
        client.connect(f"http://{host}:{port}", transports=["websocket"])
        client.emit("order", "tea")
        until(lambda: ordered == ["tea"])
        client.disconnect()
