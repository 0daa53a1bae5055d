# SPDX-License-Identifier: MIT
"""Rule 5: the body of a request, read in each of the ways that Flask has."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.bridge.request.uploads.conftest import Post
from tests.support.asgi import fetch
from tests.support.client import Connection, chunk
from tests.support.server import Serve, on_every_server

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MULTIPART = "multipart/form-data; boundary=b"

UPLOAD = (
    b'--b\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--b--\r\n'
)

# How it is read; of which type it is; what is sent; what is read.
READS: dict[str, tuple[Callable[[], Any], str, bytes, Any]] = {
    "json": (lambda: flask.request.get_json(cache=True), JSON, b'{"a": [1, 2]}', {"a": [1, 2]}),
    "form": (lambda: flask.request.form, FORM, b"a=1&b=%C3%A9", {"a": "1", "b": "\u00e9"}),
    "files": (lambda: flask.request.files["file"].read().decode(), MULTIPART, UPLOAD, "content"),
    "values": (lambda: dict(flask.request.values), MULTIPART, UPLOAD, {"field": "value"}),
    "get_data": (lambda: flask.request.get_data(as_text=True), JSON, b"content", "content"),
    "data": (lambda: str(flask.request.data, "ascii"), JSON, b"content", "content"),
    "stream": (lambda: flask.request.stream.read().decode(), JSON, b"content", "content"),
    "pieces": (
        lambda: list(iter(lambda: str(flask.request.stream.read(3), "ascii"), "")),
        JSON,
        b"abcd",
        ["abc", "d"],
    ),
    "lines": (
        lambda: [line.decode() for line in flask.request.stream],
        JSON,
        b"a\nb\nc",
        ["a\n", "b\n", "c"],
    ),
    "input": (lambda: flask.request.environ["wsgi.input"].read().decode(), JSON, b"content", "content"),
}
# What Werkzeug keeps for who reads again.
KEPT = {"json", "get_data", "data", "form", "values"}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("where", ["view", "sync hook", "async hook"])
@pytest.mark.parametrize("post", ["memory"], indirect=True)
@pytest.mark.parametrize("read", READS)
def test_it_is_read_in_every_way_and_place(
    app: flask.Flask, add_view: Callable[..., None], post: Post, read: str, where: str, *, chunked: bool
) -> None:
    function, content_type, body, expected = READS[read]

    def before() -> None:
        flask.g.read = function()

    async def before_async() -> None:
        await asyncio.sleep(0)
        before()

    if where != "view":
        app.before_request(before if where == "sync hook" else before_async)

    def view() -> Any:
        if where != "view" and read not in KEPT:
            return flask.jsonify(flask.g.read)
        return flask.jsonify(function())

    add_view(view)
    parts = [body[start : start + 20] for start in range(0, len(body), 20)]
    answer = post(FlaskToAsgi(app), "/", parts, ("Content-Type", content_type), chunked=chunked)
    assert (answer.status, json.loads(answer.body)) == (200, expected)


@on_every_server
@pytest.mark.parametrize("size", [10, 400_000])
def test_one_that_is_not_read_does_not_spoil_the_connection(
    app: flask.Flask, add_view: Callable[..., None], serve: Serve, size: int
) -> None:
    add_view(lambda: "not read")
    with Connection(serve(FlaskToAsgi(app))) as connection:
        for _ in range(3):
            assert connection.request("POST", "/", body=bytes(size)).body == b"not read"


# -- while it comes


@on_every_server
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_it_is_read_while_the_client_sends(
    app: flask.Flask, add_view: Callable[..., None], serve: Serve, *, chunked: bool
) -> None:
    """The client goes on only when the application has got what there is."""
    got = threading.Semaphore(0)

    def view() -> bytes:
        parts = []
        for _ in range(3):
            parts.append(flask.request.stream.read(3))
            got.release()
        return b"-".join(parts) + flask.request.stream.read()

    add_view(view)
    with Connection(serve(FlaskToAsgi(app, read_ahead=0))) as connection:
        field = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "9")
        connection.send_request("POST", "/", [field])
        for part in (b"abc", b"def", b"ghi"):
            connection.send(chunk(part) if chunked else part)
            assert got.acquire(timeout=20)
        connection.send(chunk() if chunked else b"")
        assert connection.receive().body == b"abc-def-ghi"


@on_every_server
def test_the_client_is_held_back_while_nobody_reads(serve: Serve) -> None:
    """What the client gets rid of is bounded by the buffers of the sockets and of the bridge."""
    app = flask.Flask(__name__)
    proceed = threading.Event()
    size = 32 << 20

    @app.post("/")
    def view() -> str:
        flask.request.stream.read(1)
        proceed.wait(10)
        return str(1 + sum(map(len, iter(lambda: flask.request.stream.read(1 << 20), b""))))

    with Connection(serve(FlaskToAsgi(app))) as connection:
        connection.send_request("POST", "/", [("Content-Length", str(size))])
        held = connection.send_until_held(size)
        proceed.set()
        connection.send(bytes(size - held))
        assert connection.receive().body == str(size).encode()
    assert held < size / 2


async def test_one_without_a_body_reads_as_empty(app: flask.Flask, add_view: Callable[..., None]) -> None:
    add_view(
        lambda: [
            flask.request.get_data().decode(),
            flask.request.get_json(silent=True),
            dict(flask.request.form),
        ]
    )
    bridge = FlaskToAsgi(app)
    assert json.loads((await fetch(bridge, "POST")).body) == ["", None, {}]
    assert json.loads((await fetch(bridge, "POST", b"/", b"")).body) == ["", None, {}]
