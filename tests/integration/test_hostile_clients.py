# SPDX-License-Identifier: MIT
"""Clients that mean harm, many of them, and a good one among them."""

import json
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.client import Connection, chunk
from tests.support.process import ServerProcess, serving

APP = """
    from flask import Flask, request

    app = Flask(__name__)
    app.secret_key = "2fd0a5c1e8b94763"

    @app.route("/", methods=["GET", "POST"])
    def length():
        return str(len(request.get_data()))

    @app.post("/async")
    async def on_the_loop():
        return str(len(request.get_data()))

    def wsgi(environ, start_response):
        length = len(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(length).encode()]
    """

SLOW = 500
HEAD = b"POST / HTTP/1.1\r\nHost: shop\r\n"


@pytest.fixture(autouse=True)
def _app(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(dedent(APP))


def assert_problem(connection: Connection, status: int) -> None:
    response = connection.receive()
    assert response.status == json.loads(response.body)["status"] == status
    assert response.head.one("content-type") == "application/problem+json"


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_slow_heads_by_the_hundred_are_refused_and_harm_nobody(tmp_path: Path, http: str) -> None:
    flags = ["shop", "--http", http, "--timeout-head", "5", "--timeout-keep-alive", "60"]
    with serving(flags, cwd=tmp_path) as server, ExitStack() as stack:
        good = stack.enter_context(Connection(server.address, timeout=30))
        slow = []
        for _ in range(SLOW):
            slow.append(stack.enter_context(Connection(server.address, timeout=30)))
            slow[-1].send(HEAD)
        for _ in range(10):
            for connection in slow[::50]:
                with suppress(ConnectionError):  # it has been refused already
                    connection.send(b"X")
            assert good.request("GET", "/").status == 200
        statuses = Counter(connection.receive().status for connection in slow)
        assert statuses == {408: SLOW}
        assert good.request("GET", "/").status == 200
        assert "Traceback" not in server.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_heads_of_64_kib_are_refused_and_harm_nobody(tmp_path: Path, workers: str) -> None:
    with serving(["shop", "--workers", workers], cwd=tmp_path) as server, Connection(server.address) as good:
        for _ in range(20):
            with Connection(server.address) as connection:
                connection.send(HEAD + b"X: " + b"x" * 65536 + b"\r\n\r\n")
                assert_problem(connection, 431)
            assert good.request("GET", "/").status == 200


def send_endless_body(server: ServerProcess, target: bytes) -> None:
    """Send chunks until there is an answer, or nobody listens any more; it is 413."""
    with Connection(server.address) as connection:
        connection.send(HEAD.replace(b"/", target, 1) + b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(100):
                connection.send(chunk(bytes(20_000)))
        assert connection.receive().status == 413


@pytest.mark.parametrize(("app", "targets"), [("shop", [b"/", b"/async"]), ("shop:wsgi", [b"/"])])
def test_an_endless_body_is_refused(tmp_path: Path, app: str, targets: list[bytes]) -> None:
    flags = [app, "--limit-body", "1MiB", "--timeout-keep-alive", "60"]
    with serving(flags, cwd=tmp_path) as server, Connection(server.address) as good:
        for target in targets:
            send_endless_body(server, target)
        assert good.request("POST", "/", body=bytes(1 << 20)).body == b"1048576"
        assert good.request("POST", "/", body=bytes((1 << 20) + 1)).status == 413
        assert "Traceback" not in server.stderr


def test_a_body_that_does_not_come_frees_its_thread(tmp_path: Path) -> None:
    flags = ["shop", "--threads", "1", "--timeout-body", "1"]
    with serving(flags, cwd=tmp_path) as server, Connection(server.address) as connection:
        connection.send(HEAD + b"Content-Length: 5\r\n\r\n")
        with Connection(server.address, timeout=30) as good:
            assert good.request("GET", "/").body == b"0"
        assert_problem(connection, 408)
        assert "Traceback" not in server.stderr
