# SPDX-License-Identifier: MIT
"""Rule 10: what reaches the client of a body that is shorter than the head says."""

from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.client import Connection
from tests.support.server import Serve, on_every_server


@on_every_server
@pytest.mark.parametrize("header", ["X-Sendfile", "X-Other"])
@pytest.mark.parametrize("chunks", [[], [b""], [b"one"]], ids=["none", "empty", "some"])
@pytest.mark.parametrize(("kind", "on_loop"), [(list, False), (iter, True)], ids=["thread", "loop"])
def test_a_short_body_goes_out_and_ends_the_connection(
    serve: Serve, kind: Any, chunks: list[bytes], header: str, *, on_loop: bool
) -> None:
    """Also where a proxy sends a file in its place. After HEAD and 304 the connection is kept."""
    app = flask.Flask(__name__)

    def view(code: int) -> flask.Response:
        return flask.Response(kind(chunks), code, {"Content-Length": "10", header: "/file"})

    async def async_view(code: int) -> flask.Response:
        return view(code)

    app.add_url_rule("/<int:code>", view_func=async_view if on_loop else view)
    with Connection(serve(FlaskToAsgi(app))) as connection:
        for method, code, length in (("HEAD", 200, "10"), ("GET", 304, None), ("HEAD", 206, "10")):
            response = connection.request(method, f"/{code}")
            assert (response.status, response.head.one(header.lower())) == (code, "/file")
            assert response.head.one("content-length") == length
        connection.send_request("GET", "/200")
        head = connection.receive_head()
        assert (head.status, head.one("content-length"), head.one(header.lower())) == (200, "10", "/file")
        assert connection.receive_bytes(11) == b"".join(chunks)
        assert connection.is_closed()
