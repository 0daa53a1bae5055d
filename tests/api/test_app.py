# SPDX-License-Identifier: MIT
import io
from wsgiref.validate import validator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import Client

from ashapp.api import create_app
from ashapp.api.app import ApiResponse


def test_defaults_are_safe() -> None:
    config = create_app().config
    limits = [config[name] for name in ("MAX_CONTENT_LENGTH", "MAX_UPLOAD_SIZE", "MAX_DELAY_SECONDS")]
    assert limits == [1024**2, 1024**3, 10]


STREAMS = [
    *("/stream/2", "/drip?interval=0", "/bytes/9", "/events?interval=0", "/range/9"),
    *("/gzip", "/etag/a", "/redirect/2", "/docs"),
]


@pytest.mark.parametrize("path", ["/", "/version", "/echo", "/status/302", "/status/404", "/delay/0", "/no"])
def test_every_answer_carries_the_protective_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none';")


def test_protective_headers_are_defaults_that_a_view_may_override() -> None:
    response = ApiResponse("x", headers={"Cache-Control": "max-age=60"})
    assert response.headers.getlist("Cache-Control") == ["max-age=60"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_untyped_text_is_never_html() -> None:
    assert ApiResponse("<b>").content_type == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["/echo/", "/status//404", "/Echo"])
def test_a_path_is_matched_exactly_never_redirected(client: FlaskClient, path: str) -> None:
    assert client.get("/", environ_overrides={"PATH_INFO": path}).status_code == 404


@pytest.mark.filterwarnings("error::wsgiref.validate.WSGIWarning")
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/"),
        ("OPTIONS", "/"),
        ("GET", "/version"),
        ("POST", "/echo"),
        ("GET", "/headers"),
        ("POST", "/upload"),
        ("GET", "/delay/0"),
        ("GET", "/delay/x"),
        ("GET", "/nowhere"),
        *(("GET", path) for path in STREAMS),
        *(("HEAD", path) for path in STREAMS),
        *(("GET", f"/status/{code}") for code in (200, 204, 205, 302, 304, 401, 405, 407, 426, 503, 599)),
    ],
)
def test_wsgi_validator_has_nothing_to_say(app: Flask, method: str, path: str, accept: str) -> None:
    client = Client(validator(app))
    response = client.open(path, method=method, data=b"body" * (method == "POST"), headers={"Accept": accept})
    response.close()
    assert response.status_code < 600


PATHS = [
    *("/", "/version", "/echo", "/anything", "/status/", "/upload", "/nowhere/"),
    *("/range/9", "/cookies", "/bearer/a"),
]
FIELDS = "AUTHORIZATION COOKIE IF_NONE_MATCH IF_RANGE LAST_EVENT_ID RANGE TRACEPARENT X_ODD X_REQUEST_ID"


@settings(max_examples=200)
@given(
    path=st.sampled_from(PATHS),
    rest=st.binary(max_size=20),
    query=st.binary(max_size=40),
    field=st.binary(max_size=20),
)
def test_odd_bytes_are_never_a_server_error(path: str, rest: bytes, query: bytes, field: bytes) -> None:
    environ = {
        "PATH_INFO": path + rest.decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "HTTP_ACCEPT": field.decode("latin-1"),
        "HTTP_HOST": "localhost",
        **{f"HTTP_{name}": field.decode("latin-1") for name in FIELDS.split()},
        "wsgi.input": io.BytesIO(),
    }
    for method in ("GET", "POST"):
        response = _APP.test_client().open("/", method=method, environ_overrides=environ)
        assert response.status_code in {*range(200, 500), *_asked_for(environ["PATH_INFO"])}


def _asked_for(path: object) -> set[int]:
    code = str(path).removeprefix("/status/")
    return {int(code)} if code.isdecimal() else set()


_APP = create_app()
