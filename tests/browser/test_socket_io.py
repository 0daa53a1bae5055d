# SPDX-License-Identifier: MIT
"""The JavaScript client of Socket.IO with an application of Flask-SocketIO, and a browser's own WebSocket."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from playwright.sync_api import expect

from tests.browser.visit import Visit
from tests.support.process import ServerProcess, serving

_APP = """
    import flask
    from ashapp import adopt_socketio, websocket
    from flask_socketio import SocketIO, emit, join_room

    app = flask.Flask(__name__, static_folder="package/dist", static_url_path="/static")
    app.secret_key = "b61e0f3a97c24d58"
    socketio = SocketIO(app, async_mode="threading", ping_interval=1)
    if {adopts}:
        adopt_socketio(socketio)

    @app.get("/")
    def page():
        return PAGE

    @socketio.on("connect")
    def connect(auth):
        flask.session["user"] = auth["user"]
        join_room("all")

    @socketio.on("say")
    def say(text, data):
        emit("said", [flask.session["user"], text, data], to="all")
        return "taken " + text

    @websocket(app, "/native")
    async def native(ws):
        async for message in ws:
            await ws.send(message)

    PAGE = '''<!doctype html><html lang="en"><title>Chat</title><link rel="icon" href="data:,">
    <script src="/static/socket.io.min.js"></script><ol></ol><output></output>
    <script>
    const note = (text) => {{ document.querySelector("ol").append(new Option(text).text, "; ") }};
    const transports = new URLSearchParams(location.search).getAll("transport");
    const socket = io({{transports, auth: {{user: "ada"}}}});
    socket.on("said", ([user, text, data]) => note(`${{user}} ${{text}} ${{new Uint8Array(data)}}`));
    socket.on("connect", () => socket.emit("say", "grün", new Uint8Array([0, 255]), (answer) => {{
      note(answer);
      const {{engine}} = socket.io;
      engine.on("heartbeat", () => {{ document.querySelector("output").value = engine.transport.name; }});
    }}));
    const plain = new WebSocket(`ws://${{location.host}}/native`);
    plain.onopen = () => plain.send("é");
    plain.onmessage = (event) => {{ note("native " + event.data); plain.close(4000, "bye"); }};
    plain.onclose = (event) => note(`closed ${{event.code}} ${{event.wasClean}}`);
    </script>'''
    """


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the client, as npm has it."""
    folder = tmp_path_factory.mktemp("socket_io")
    if shutil.which("npm") is None:
        message = "npm is not on the PATH (Debian: apt-get install npm): it has the client of Socket.IO"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    subprocess.run(["npm", "pack", "--silent", "socket.io-client@4"], cwd=folder, check=True, timeout=120)
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder)
    return folder


@pytest.fixture(scope="module", params=[False, True], ids=["threads", "adopted"])
def server(folder: Path, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    (folder / "chat.py").write_text(dedent(_APP.format(adopts=request.param)), encoding="utf-8")
    with serving(["chat:app"], cwd=folder) as process:
        yield process


@pytest.mark.parametrize("transports", ["websocket", "polling", "polling websocket"])
def test_messages_go_both_ways(visit: Visit, transports: str) -> None:
    names = transports.split()
    page = visit.open("/?" + "&".join(f"transport={name}" for name in names))
    notes = page.locator("ol")
    for text in ("ada grün 0,255; ", "taken grün; ", "native é; ", "closed 4000 true; "):
        expect(notes).to_contain_text(text)
    expect(page.locator("output"), "after a ping").to_have_text(names[-1])
