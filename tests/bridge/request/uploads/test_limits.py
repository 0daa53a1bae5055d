# SPDX-License-Identifier: MIT
"""Rules 5 and 22: limits on the length of a body, also where the client does not say how long it is."""

import errno
import itertools
import json
from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask import Flask, request
from werkzeug.wsgi import get_input_stream

from ashapp.bridge import FlaskToAsgi
from tests.bridge.request.uploads.conftest import Post
from tests.support.client import Connection, chunk
from tests.support.flask import since
from tests.support.server import Serve, on_every_server

pytestmark = pytest.mark.usefixtures("impatient")

LIMIT = 200

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
OCTETS = "application/octet-stream"
AROUND = {
    OCTETS: (b"", b""),
    FORM: (b"a=", b""),
    "application/json": (b'"', b'"'),
    MULTIPART: (
        b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n',
        b"\r\n--b--\r\n",
    ),
}

# How a view reads the body, and the type of body that it takes.
READS: dict[str, tuple[Callable[[], Any], str]] = {
    "get_data": (lambda: len(request.get_data()), OCTETS),
    "get_json": (lambda: len(request.get_json()), "application/json"),
    "form": (lambda: len(request.form["a"]), FORM),
    "files": (lambda: len(request.files["a"].read()), MULTIPART),
    "read": (lambda: len(request.stream.read()), OCTETS),
    "read a block": (lambda: len(request.stream.read(10 * LIMIT)), OCTETS),
    "read blocks": (lambda: sum(map(len, iter(lambda: request.stream.read(7), b""))), OCTETS),
    "iterate": (lambda: sum(map(len, request.stream)), OCTETS),
    "readlines": (lambda: len(b"".join(request.stream.readlines())), OCTETS),
}

# These look for the end of the body, which Werkzeug takes for too much where the limit has been reached: 413
# for a body as long as the limit, under any server that sets "wsgi.input_terminated". One byte less passes.
LOOK_PAST_THE_END = {"files", "read blocks", "iterate", "readlines"}

# Bytes up to the limit are sent in these pieces, and what is too much in one of its own; None: with a length.
PIECES = {
    "length": None,
    "one": [LIMIT],
    "two": [LIMIT - 1, 1],
    "short": [LIMIT // 2, LIMIT // 2 - 1],
    "many": [1] * LIMIT,
}


def limited(view: Callable[[], Any], kind: str) -> Flask:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LIMIT

    async def async_view() -> str:
        return str(view())

    app.add_url_rule("/", "", async_view if kind == "loop" else lambda: str(view()), methods=["POST"])
    return app


def parts_of(content_type: str, size: int, pieces: list[int] | None) -> list[bytes]:
    before, after = AROUND[content_type]
    body = before + b"x" * (size - len(before) - len(after)) + after
    starts = [0, *itertools.accumulate(pieces or []), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(starts) if body[start:end]]


@pytest.mark.parametrize("post", ["memory"], indirect=True)
@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("read", READS)
def test_a_body_is_held_to_the_limit(post: Post, place: str, read: str, pieces: list[int] | None) -> None:
    """Up to the limit it is taken whole, one byte longer it is 413; never cut."""
    view, content_type = READS[read]
    bridge = FlaskToAsgi(limited(view, place))
    longest = LIMIT - 1 if read in LOOK_PAST_THE_END else LIMIT
    for size, status in [(longest, 200), (LIMIT + 1, 413), (LIMIT + 70_000, 413)]:
        parts = parts_of(content_type, size, pieces)
        answer = post(bridge, "/", parts, ("Content-Type", content_type), chunked=pieces is not None)
        assert answer.status == status


@pytest.mark.parametrize(("own", "applications"), [(LIMIT, None), (LIMIT, LIMIT * 2), (LIMIT * 2, LIMIT)])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_the_lower_of_two_limits_holds(
    post: Post, place: str, own: int, applications: int | None, *, chunked: bool
) -> None:
    """That of the bridge and that of the application."""
    app = limited(lambda: len(request.get_data()), place)
    app.config["MAX_CONTENT_LENGTH"] = applications
    bridge = FlaskToAsgi(app, limit_body=own)
    for size, status in [(LIMIT, 200), (LIMIT + 1, 413)]:
        assert post(bridge, "/", [bytes(size - 1), b"x"], chunked=chunked).status == status


@since("3.1", "Request.max_content_length is settable since Flask 3.1")
def test_a_view_may_set_its_own_limit(post: Post, place: str) -> None:
    """By ``request.max_content_length``, new in Flask 3.1; higher or lower than the application's."""

    def view() -> str:
        request.max_content_length = int(request.args["limit"])
        return str(len(request.get_data()))

    bridge = FlaskToAsgi(limited(view, place))
    for limit, size, status in [(10, 10, 200), (10, 11, 413), (5000, 5000, 200), (5000, 5001, 413)]:
        assert post(bridge, f"/?limit={limit}", [bytes(size)], chunked=True).status == status


@pytest.mark.parametrize("where", ["view", "hook"])
def test_an_error_handler_answers_for_a_body_that_is_too_long(post: Post, place: str, where: str) -> None:
    """It is Werkzeug's own exception."""
    app = limited(lambda: len(request.get_data()), place)
    app.register_error_handler(413, lambda error: ("too much", 413))
    if where == "hook":
        app.before_request(lambda: request.get_data() and None)
    answer = post(FlaskToAsgi(app), "/", [bytes(LIMIT + 1)], chunked=True)
    assert answer == (413, b"too much")


class FullDisk(flask.Request):
    def _get_file_stream(self, *_arguments: Any, **_described: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("handled", [False, True])
@pytest.mark.parametrize("name", ["files", "data"])
def test_a_form_that_the_disk_has_no_room_for(
    post: Post, place: str, caplog: pytest.LogCaptureFixture, name: str, *, handled: bool
) -> None:
    """The client is told so, and the log says which disk; a handler of the application's gets the OSError."""
    app = limited(lambda: len(getattr(request, name)), place)
    app.request_class = FullDisk
    if handled:
        app.register_error_handler(OSError, lambda error: (f"{error.errno}", 500))
    parts = parts_of(MULTIPART, LIMIT - 1, None)
    answer = post(FlaskToAsgi(app), "/", parts, ("Content-Type", MULTIPART))
    if handled:
        assert answer == (500, b"%d" % errno.ENOSPC)
    else:
        assert (answer.status, json.loads(answer.body)["title"]) == (507, "Insufficient Storage")
    assert caplog.text.count("TMPDIR") == 1


def test_the_input_itself_has_no_limit(post: Post, place: str) -> None:
    """MAX_CONTENT_LENGTH limits ``request.stream``; a view may read the input by a limit of its own."""
    app = limited(lambda: len(get_input_stream(flask.request.environ).read()), place)
    assert post(FlaskToAsgi(app), "/", [bytes(100_000)], chunked=True) == (200, b"100000")


@on_every_server
@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_an_endless_body_is_refused_while_it_comes(serve: Serve, kind: str) -> None:
    """The client never ends the body; the answer does not wait for that."""
    with Connection(serve(FlaskToAsgi(limited(READS["get_data"][0], kind)))) as connection:
        connection.send_request("POST", "/", [("Transfer-Encoding", "chunked")])
        connection.send(chunk(bytes(10_000)) * 10)
        assert connection.receive().status == 413


@on_every_server
@pytest.mark.parametrize("limit_body", [None, LIMIT], ids=["the application's", "the bridge's"])
def test_a_body_that_is_announced_too_long_is_refused_before_it_comes(
    serve: Serve, place: str, limit_body: int | None
) -> None:
    """Nothing of the body is sent."""
    app = limited(READS["get_data"][0], place)
    if limit_body:
        app.config["MAX_CONTENT_LENGTH"] = None
    with Connection(serve(FlaskToAsgi(app, limit_body=limit_body))) as connection:
        connection.send_request("POST", "/", [("Content-Length", str(LIMIT + 1))])
        assert connection.receive().status == 413
