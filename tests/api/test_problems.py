# SPDX-License-Identifier: MIT
import logging
from urllib.parse import unquote_to_bytes

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, TooManyRequests

from tests.support.problem_details import assert_problem


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "BREW"])
def test_unknown_path_is_404_whatever_the_method(client: FlaskClient, method: str) -> None:
    body = assert_problem(client.open("/nowhere", method=method), 404)
    assert body["title"] == "Not Found"
    assert body["instance"] == "/nowhere"


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/", "POST", {"GET", "HEAD", "OPTIONS"}),
        ("/version", "DELETE", {"GET", "HEAD", "OPTIONS"}),
        ("/upload", "GET", {"POST", "PUT", "OPTIONS"}),
        ("/echo", "BREW", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}),
    ],
)
def test_wrong_method_is_405_and_says_what_is_allowed(
    client: FlaskClient, path: str, method: str, allow: set[str]
) -> None:
    response = client.open(path, method=method)
    assert_problem(response, 405)
    assert set(response.allow) == allow


def test_unhandled_exception_is_500_logged_and_not_told(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> ResponseReturnValue:
        raise RuntimeError("password of the database")

    app.add_url_rule("/fail", view_func=fail)
    with caplog.at_level(logging.ERROR):
        response = app.test_client().get("/fail")
    assert_problem(response, 500)
    text = response.get_data(as_text=True)
    assert "password" not in text
    assert "Traceback" not in text
    assert "password of the database" in caplog.text
    assert "Exception on /fail [GET]" in caplog.text


class Locked(HTTPException):
    code = 423


@pytest.mark.parametrize(
    ("error", "status", "detail", "headers"),
    [(TooManyRequests(retry_after=7), 429, "", {"Retry-After": "7"}), (Locked(), 423, "Locked", {})],
)
def test_an_exception_keeps_its_headers_and_has_its_title_for_a_description(
    app: Flask, error: Exception, status: int, detail: str, headers: dict[str, str]
) -> None:
    def refuse() -> ResponseReturnValue:
        raise error

    app.add_url_rule("/refuse", view_func=refuse)
    response = app.test_client().get("/refuse")
    assert_problem(response, status, detail)
    assert headers.items() <= dict(response.headers).items()
    assert len(response.headers.getlist("Content-Type")) == 1


@pytest.mark.parametrize(
    ("path", "instance"),
    [
        ("/caf\u00e9", "/caf%C3%A9"),
        ("/%ff%00", "/%FF%00"),
        ("/a b?q=1", "/a%20b"),
        ("//evil.example/x", "/.//evil.example/x"),
        ("/a//b", "/a//b"),
    ],
)
def test_instance_is_a_uri_reference_within_this_service(
    client: FlaskClient, path: str, instance: str
) -> None:
    # The client reads a leading "//" as an authority, so such a path goes in by the environ.
    response = client.get("/", environ_overrides=_path_info(path))
    assert assert_problem(response, 404)["instance"] == instance


def test_instance_includes_where_the_app_is_mounted(client: FlaskClient) -> None:
    response = client.get("/nowhere", environ_overrides={"SCRIPT_NAME": "/mounted"})
    assert assert_problem(response, 404)["instance"] == "/mounted/nowhere"


def _path_info(path: str) -> dict[str, str]:
    """Return the environ keys of a request target, as PEP 3333 has them."""
    raw_path, _, query = path.partition("?")
    return {"PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"), "QUERY_STRING": query}
