# SPDX-License-Identifier: MIT
"""Rule 5: MAX_CONTENT_LENGTH, also where the client does not say how long the body is."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, request

from ashapp.bridge import FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.client import Connection, chunk, fetch
from tests.support.server import Serve, on_every_server

LIMIT = 1000

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
OCTETS = "application/octet-stream"
PART = b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n'

# How a view reads the body, and the type of body that it takes.
READS: dict[str, tuple[Callable[[], Any], str]] = {
    "get_data": (lambda: len(request.get_data()), OCTETS),
    "get_data uncached": (lambda: len(request.get_data(cache=False)), OCTETS),
    "data": (lambda: len(request.data), OCTETS),
    "get_json": (lambda: len(request.get_json()), "application/json"),
    "form": (lambda: len(request.form["a"]), FORM),
    "values": (lambda: len(request.values["a"]), FORM),
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

# Bytes up to the limit are sent in these pieces, and what is too much in a chunk of its own.
PIECES = {
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

    app.add_url_rule("/", "", async_view if kind == "async" else lambda: str(view()), methods=["POST"])
    return app


def body_of(content_type: str, size: int) -> bytes:
    before, after = {
        OCTETS: (b"", b""),
        FORM: (b"a=", b""),
        MULTIPART: (
            b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n',
            b"\r\n--b--\r\n",
        ),
        "application/json": (b'"', b'"'),
    }[content_type]
    return before + b"x" * (size - len(before) - len(after)) + after


def upload(connection: Connection, content_type: str, body: bytes, pieces: list[int]) -> int:
    connection.send_request("POST", "/", [("Transfer-Encoding", "chunked"), ("Content-Type", content_type)])
    starts = [0, *itertools.accumulate(pieces), len(body)]
    parts = [body[start:end] for start, end in itertools.pairwise(starts)]
    connection.send(b"".join(map(chunk, filter(None, parts))) + chunk())
    return connection.receive().status


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
@pytest.mark.parametrize("read", READS)
def test_a_chunked_body_is_held_to_the_limit(serve: Serve, read: str, pieces: list[int], kind: str) -> None:
    """Rule 5. Up to the limit it is taken whole, one byte longer it is 413; never cut. Stock: see below."""
    view, content_type = READS[read]
    address = serve(FlaskToAsgi(limited(view, kind)))
    longest = LIMIT - 1 if read in LOOK_PAST_THE_END else LIMIT
    for size, status in [(longest, 200), (LIMIT + 1, 413), (LIMIT + 70_000, 413), (LIMIT - 1, 200)]:
        with Connection(address) as connection:
            assert upload(connection, content_type, body_of(content_type, size), pieces) == status


@stock_fails("a chunked body is empty for Flask", FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_endless_body_is_refused_while_it_comes(serve: Serve, adapter: Adapter, kind: str) -> None:
    """Rule 5. The client never ends the body; the answer does not wait for that."""
    with Connection(serve(adapter(limited(READS["get_data"][0], kind))), timeout=5) as connection:
        connection.send_request("POST", "/", [("Transfer-Encoding", "chunked")])
        connection.send(chunk(bytes(10_000)) * 10)
        if adapter is not FlaskToAsgi:
            connection.send(chunk())
        assert connection.receive().status == 413


@on_every_server
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_body_that_is_announced_too_long_is_refused_before_it_comes(serve: Serve, kind: str) -> None:
    """Rule 5. Nothing of the body is sent. Stock asgiref waits for all of it before the application runs."""
    with Connection(serve(FlaskToAsgi(limited(READS["get_data"][0], kind)))) as connection:
        connection.send_request("POST", "/", [("Content-Length", "1000000000")])
        assert connection.receive().status == 413


@stock_passes(FlaskToAsgi)
@pytest.mark.parametrize("read", READS)
def test_a_body_of_known_length_is_held_to_the_limit(serve: Serve, adapter: Adapter, read: str) -> None:
    """Rule 5."""
    view, content_type = READS[read]
    address = serve(adapter(limited(view, "sync")))
    longest = LIMIT - 1 if read in LOOK_PAST_THE_END else LIMIT
    for size, status in [(longest, 200), (LIMIT + 1, 413)]:
        fields = [("Content-Type", content_type)]
        assert fetch(address, "/", "POST", fields, body_of(content_type, size)).status == status


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_view_may_set_its_own_limit(serve: Serve, kind: str) -> None:
    """Rule 5, by ``request.max_content_length``, new in Flask 3.1; higher or lower than the application's."""

    def view() -> str:
        request.max_content_length = int(request.args["limit"])
        return str(len(request.get_data()))

    address = serve(FlaskToAsgi(limited(view, kind)))
    for limit, size, status in [(10, 10, 200), (10, 11, 413), (5000, 5000, 200), (5000, 5001, 413)]:
        with Connection(address) as connection:
            connection.send_request("POST", f"/?limit={limit}", [("Transfer-Encoding", "chunked")])
            connection.send(chunk(bytes(size)) + chunk())
            assert connection.receive().status == status, (limit, size)


def test_an_error_handler_answers_for_a_body_that_is_too_long(serve: Serve) -> None:
    """Rule 5. It is Werkzeug's own exception; a hook that reads the body raises it as well."""
    app = limited(lambda: "not reached", "sync")
    app.register_error_handler(413, lambda error: ("too much", 413))
    app.before_request(lambda: request.get_data() and None)
    with Connection(serve(FlaskToAsgi(app))) as connection:
        connection.send_request("POST", "/", [("Transfer-Encoding", "chunked")])
        connection.send(chunk(bytes(LIMIT + 1)) + chunk())
        response = connection.receive()
    assert (response.status, response.body) == (413, b"too much")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(("own", "applications"), [(LIMIT, None), (LIMIT, LIMIT * 2), (LIMIT * 2, LIMIT)])
def test_the_lower_of_two_limits_holds(serve: Serve, own: int, applications: int | None, kind: str) -> None:
    """Rule 22. That of the bridge and that of the application, sent in chunks and with a length."""
    app = limited(lambda: len(request.get_data()), kind)
    app.config["MAX_CONTENT_LENGTH"] = applications
    address = serve(FlaskToAsgi(app, limit_body=own))
    for size, status in [(LIMIT, 200), (LIMIT + 1, 413)]:
        with Connection(address) as connection:
            assert upload(connection, OCTETS, bytes(size), [size - 1, 1]) == status
        assert fetch(address, "/", "POST", [("Content-Type", OCTETS)], bytes(size)).status == status
