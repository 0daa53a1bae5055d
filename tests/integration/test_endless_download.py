# SPDX-License-Identifier: MIT
"""A download without an end: to a client that reads slowly, and to clients that leave."""

import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.client import Connection, fetch
from tests.support.memory import on_linux, peak, resident
from tests.support.process import ServerProcess, serving

MIB = 1 << 20

APP = """
    from flask import Flask

    app = Flask(__name__)
    app.secret_key = "2fd0a5c1e8b94763"

    @app.get("/")
    def index():
        return "here"

    @app.get("/endless")
    def endless():
        def blocks():
            while True:
                yield bytes(65536)
        return blocks(), {"Content-Type": "application/octet-stream"}
    """


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    (tmp_path / "endless.py").write_text(dedent(APP))
    with serving(["endless:app"], cwd=tmp_path) as server:
        yield server
        assert server.stop() == 0
        assert "Traceback" not in server.stderr


@on_linux
def test_a_slow_reader_takes_little_memory(server: ServerProcess) -> None:
    assert fetch(server.address, "/").status == 200
    idle = resident(server.pid)
    with Connection(server.address, receive_buffer=65536) as connection:
        connection.send_request("GET", "/endless")
        connection.receive_head()
        for _ in range(100):
            connection.receive_bytes(16384)
            time.sleep(0.01)
        connection.vanish()
    assert peak(server.pid) - idle < 32 * MIB


def test_sixty_who_leave_do_not_keep_the_next_one_waiting(server: ServerProcess) -> None:
    for _ in range(60):
        with Connection(server.address) as connection:
            connection.send_request("GET", "/endless")
            connection.receive_head()
            connection.receive_bytes(1)
            connection.vanish()
    began = time.monotonic()
    assert fetch(server.address, "/").body == b"here"
    assert time.monotonic() - began < 15
