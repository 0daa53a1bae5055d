# SPDX-License-Identifier: MIT
"""Rules 6, 9 and 10: what an application sends, and what of it reaches the client."""

from collections.abc import Iterable
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.messages.types import Environ, StartResponse
from tests.support.applications.wsgi import application, generate
from tests.support.client import Connection, TruncatedResponse
from tests.support.server import Serve, on_every_server


@on_every_server
@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200"), ("GET", "204"), ("HEAD", "204"), ("GET", "304"), ("HEAD", "304")]
)
@pytest.mark.parametrize("length", ["4", None])
@pytest.mark.parametrize("kind", ["list", "generator", "write"])
def test_a_response_without_a_body_has_none(
    serve: Serve, method: str, status: str, length: str | None, kind: str
) -> None:
    """Rule 10: the next response is where the body would be. Stock asgiref leaves it to the server."""

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response(f"{status} Status", [("Content-Length", length)] if length else [])
        if kind == "write":
            write(b"body")
        return generate(b"body") if kind == "generator" else [b"body"]

    with Connection(serve(WsgiToAsgi(call))) as connection:
        for _ in range(3):
            head = connection.request(method, "/").head
            assert head.status == int(status)
            if status == "200":
                assert head.one("content-length") == length
            if status == "204":
                assert (head.one("content-length"), head.one("transfer-encoding")) == (None, None)


@on_every_server
@pytest.mark.parametrize("on_loop", [False, True])
@pytest.mark.parametrize("header", ["X-Sendfile", "X-Accel-Redirect", "X-Other"])
@pytest.mark.parametrize("chunks", [[], [b""], [b"one"]], ids=["none", "empty", "some"])
@pytest.mark.parametrize("kind", [list, iter])
def test_a_short_body_goes_out_and_ends_the_connection(
    serve: Serve, kind: Any, chunks: list[bytes], header: str, *, on_loop: bool
) -> None:
    """Rule 10: also where a proxy sends a file in its place. After HEAD and 304 the connection is kept."""
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


@on_every_server
@pytest.mark.parametrize("error", [ValueError("in midstream"), KeyboardInterrupt(), SystemExit(1)])
def test_an_iterable_that_raises_truncates_the_response(serve: Serve, error: BaseException) -> None:
    """Rule 9, and the server goes on. Stock asgiref does so for ValueError; the others end its loop."""
    address = serve(WsgiToAsgi(application(lambda: generate(b"one", b"two", error=error))))
    for _ in range(2):
        with Connection(address) as connection:
            connection.send_request("GET", "/")
            with pytest.raises(TruncatedResponse) as truncated:
                connection.receive()
        assert truncated.value.partial == b"onetwo"
