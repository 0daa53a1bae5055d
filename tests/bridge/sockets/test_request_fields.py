# SPDX-License-Identifier: MIT
"""Rule 3: header fields that are forged, repeated or odd."""

import json

import pytest
from flask import Flask, request

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.applications.environ import describe, read_environ
from tests.support.client import Connection, fetch
from tests.support.server import Serve, on_every_server

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@stock_fails("X_User is merged into X-User", everywhere=True)
@pytest.mark.parametrize("name", ["X_User", "x_user", "X_USER"])
def test_a_name_with_an_underscore_can_not_spoof(serve: Serve, adapter: Adapter, name: str) -> None:
    """Rule 3, with the forged field before and after the real one, and alone."""
    real, forged = ("X-User", "real"), (name, "forged")
    for fields in [(real, forged), (forged, real)]:
        assert read_environ(serve, adapter, "/", *fields)["HTTP_X_USER"] == "real"
    assert "HTTP_X_USER" not in read_environ(serve, adapter, "/", forged)


def test_an_underscore_does_not_frame_the_body(serve: Serve) -> None:
    """Rule 3. Stock asgiref would give the application a second Content-Length, joined to the first."""
    environ = read_environ(serve, WsgiToAsgi, "/", ("Content_Length", "9"), ("Content_Type", "x/y"))
    assert not {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & environ.keys()


@stock_fails("cookies are joined by a comma, which makes one of them", everywhere=True)
def test_cookies_are_joined_by_semicolons_and_other_fields_by_commas(serve: Serve, adapter: Adapter) -> None:
    """Rule 3."""
    fields = [("Cookie", "a=1"), ("X-A", "1"), ("Cookie", "b=2; c=3"), ("X-A", "2, 3"), ("X-A", "")]
    environ = read_environ(serve, adapter, "/", *fields)
    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3"
    assert environ["HTTP_X_A"] == "1, 2, 3, "


@stock_fails("the second of two cookie fields is lost", FlaskToAsgi)
def test_flask_sees_the_cookies_of_all_fields(serve: Serve, adapter: Adapter) -> None:
    """Rule 3."""
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: dict(request.cookies))
    response = fetch(serve(adapter(app)), "/", fields=[("Cookie", "a=1"), ("Cookie", "b=2")])
    assert json.loads(response.body) == {"a": "1", "b": "2"}


REPEATED = {
    "host": "Host: other",
    "type": "Content-Type: a/b\r\nContent-Type: c/d",
    "length": "Content-Length: 4\r\nContent-Length: 5",
    "length and chunked": "Content-Length: 4\r\nTransfer-Encoding: chunked",
}


@on_every_server
@pytest.mark.parametrize("fields", REPEATED.values(), ids=REPEATED)
def test_a_field_that_must_not_be_repeated_is_refused(serve: Serve, fields: str) -> None:
    """Rule 3, by the parser or by the bridge: 400 in any case. For stock asgiref see below."""
    with Connection(serve(WsgiToAsgi(describe))) as connection:
        connection.send(GET + fields.encode() + b"\r\n\r\n0\r\n\r\n")
        assert connection.receive().status == 400


@on_every_server
@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "chunked, gzip"])
def test_a_transfer_coding_that_is_not_understood_is_refused(serve: Serve, coding: str) -> None:
    """By the parser or by the bridge: the application would take what is still coded for the body."""
    with Connection(serve(WsgiToAsgi(describe))) as connection:
        connection.send(GET + f"Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n".encode())
        assert connection.receive().status in {400, 501}


@stock_fails("repeated fields are joined by a comma, which no parser in front refuses")
@pytest.mark.parametrize("fields", [REPEATED["host"], REPEATED["type"]], ids=["host", "type"])
def test_a_refusal_is_told_as_problem_details(serve: Serve, adapter: Adapter, fields: str) -> None:
    """Rule 3. The connection stays usable, and the application is not called."""
    with Connection(serve(adapter(describe))) as connection:
        connection.send(GET + fields.encode() + b"\r\n\r\n")
        response = connection.receive()
        assert response.status == 400
        assert response.head.one("content-type") == "application/problem+json"
        assert "more than once" in json.loads(response.body)["detail"]
        assert connection.request("GET", "/").status == 200


@on_every_server
def test_a_length_that_is_given_twice_the_same_is_one_length(serve: Serve) -> None:
    """Rule 3. httptools refuses it; h11 makes one field of it, as RFC 9110, 8.6 allows."""
    with Connection(serve(WsgiToAsgi(describe))) as connection:
        connection.send(GET + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody")
        response = connection.receive()
    assert response.status == 400 or json.loads(response.body)["CONTENT_LENGTH"] == "4"


@stock_passes()
def test_a_field_repeated_too_often_is_refused(serve: Serve, adapter: Adapter) -> None:
    """Rule 3. The limit is asgiref's own."""
    address = serve(adapter(describe))
    for repetitions, status in [(100, 200), (101, 400)]:
        with Connection(address) as connection:
            connection.send(GET + b"X-A: 1\r\n" * repetitions + b"\r\n")
            assert connection.receive().status == status


@stock_passes(everywhere=True)
def test_latin_1_in_a_field_passes(serve: Serve, adapter: Adapter) -> None:
    """Rules 2 and 10, on the way in."""
    environ = read_environ(serve, adapter, "/", ("X-A", "caf\xe9 \xff \x80"), ("X-B", ""), ("X-C", "a\tb"))
    assert [environ[f"HTTP_X_{name}"] for name in "ABC"] == ["caf\xe9 \xff \x80", "", "a\tb"]
