# SPDX-License-Identifier: MIT
"""What docs/websockets.md shows, served."""

from pathlib import Path
from typing import Any

import socketio
from websockets.sync.client import connect

from ashapp import FlaskToAsgi
from tests.support.page import Page
from tests.support.server import serving
from tests.support.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "websockets.md"


def test_the_snippets_are_an_application_that_serves() -> None:
    names: dict[str, Any] = {}
    exec(compile(Page(PAGE).python(), PAGE.name, "exec"), names)
    with serving(FlaskToAsgi(names["app"]), ws="auto") as (host, port):
        with connect(f"ws://{host}:{port}/echo", proxy=None) as echo:
            echo.send("hello")
            assert echo.recv(5) == "hello"
        client = socketio.Client()
        ordered: list[str] = []
        client.on("ordered", ordered.append)
        client.connect(f"http://{host}:{port}", transports=["websocket"])
        client.emit("order", "tea")
        until(lambda: ordered == ["tea"])
        client.disconnect()
