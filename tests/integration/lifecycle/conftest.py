# SPDX-License-Identifier: MIT
"""A small application whose views say which process answers, take their time, or block the loop."""

import signal
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

_APP = """
    import asyncio
    import ctypes
    import os
    import time
    from pathlib import Path

    from flask import Blueprint, Flask, request

    app = Flask(__name__)
    app.secret_key = "b61e0f3a97c24d58"

    @app.route("/", methods=["GET", "POST"])
    def index():
        return f"{os.getpid()} {len(request.get_data())}"

    @app.get("/wait/<float:seconds>")
    async def wait(seconds):
        await asyncio.sleep(seconds)
        return "waited"

    @app.get("/sleep/<float:seconds>")
    def sleep(seconds):
        time.sleep(seconds)
        return "slept"

    @app.get("/hold/<int:seconds>")
    def hold(seconds):  # as C code does that keeps the interpreter's lock
        ctypes.PyDLL(None).sleep(seconds)
        return str(os.getpid())

    @app.get("/block/<float:seconds>")
    async def block(seconds):
        time.sleep(seconds)
        return "blocked"

    @app.get("/eat")
    def eat():
        app.eaten = bytearray(os.urandom(1)) * (200 * 2**20)
        return "eaten"

    stuck = Blueprint("stuck", __name__)

    @stuck.before_request
    def hang():
        time.sleep(600)

    @stuck.get("/stuck")
    async def never():
        return "never"

    app.register_blueprint(stuck)

    def leave():
        Path(f"{os.getpid()}.left").touch()

    async def leave_slowly():
        time.sleep(600)

    app.on_shutdown = leave_slowly if Path("stuck").exists() else leave
    """


@pytest.fixture(autouse=True)
def _not_below_nohup() -> Iterator[None]:
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, inherited)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the application ``clock:app``."""
    (tmp_path / "clock.py").write_text(dedent(_APP))
    return tmp_path
