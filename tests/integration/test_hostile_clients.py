# SPDX-License-Identifier: MIT
"""Clients that mean harm, many of them, and a good one among them."""

from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.client import Connection
from tests.support.process import serving

APP = """
    from flask import Flask, request

    app = Flask(__name__)
    app.secret_key = "2fd0a5c1e8b94763"

    @app.route("/", methods=["GET", "POST"])
    def length():
        return str(len(request.get_data()))

    """

SLOW = 500
HEAD = b"POST / HTTP/1.1\r\nHost: shop\r\n"


@pytest.fixture(autouse=True)
def _app(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(dedent(APP))


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
