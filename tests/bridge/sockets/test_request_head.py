# SPDX-License-Identifier: MIT
"""Rules 2, 3 and 4: the environ, and what of the head of a request is in it."""

import json
from collections.abc import Iterable

import pytest
from flask import Flask, request

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.messages.types import Environ, StartResponse
from tests.support.client import Connection, fetch
from tests.support.server import Serve, on_every_server, serving


def describe(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application that answers with the environ, as far as JSON can express it."""
    entries = {name: value for name, value in environ.items() if isinstance(value, str | bool | int)}
    entries["wsgi.file_wrapper"] = callable(environ.get("wsgi.file_wrapper"))
    entries["asgi.scope"] = environ.get("asgi.scope", {}).get("type")
    body = json.dumps(entries).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


@on_every_server
def test_the_environ_is_complete(serve: Serve) -> None:
    """Rule 2."""
    address = serve(WsgiToAsgi(describe))
    with Connection(address) as connection:
        fields = [("Content-Type", "text/plain"), ("X-Token", "t")]
        response = connection.request("POST", "/a%20b;c?x=%20&y", fields, b"body")
        port = connection.port
    environ = json.loads(response.body)
    assert environ.pop("SERVER_SOFTWARE", None)
    assert environ == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b;c",
        "QUERY_STRING": "x=%20&y",
        "REQUEST_URI": "/a%20b;c?x=%20&y",
        "RAW_URI": "/a%20b;c?x=%20&y",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "4",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(address[1]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(port),
        "HTTP_HOST": "localhost",
        "HTTP_X_TOKEN": "t",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": True,
        "asgi.scope": "http",
    }


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


REPEATED = {
    "host": "Host: other",
    "type": "Content-Type: a/b\r\nContent-Type: c/d",
    "length": "Content-Length: 4\r\nContent-Length: 5",
    "length and chunked": "Content-Length: 4\r\nTransfer-Encoding: chunked",
}


@on_every_server
@pytest.mark.parametrize("fields", REPEATED.values(), ids=REPEATED)
def test_a_field_that_must_not_be_repeated_is_refused(serve: Serve, fields: str) -> None:
    """Rule 3, by the parser or by the bridge: 400 in any case."""
    with Connection(serve(WsgiToAsgi(describe))) as connection:
        connection.send(GET + fields.encode() + b"\r\n\r\n0\r\n\r\n")
        assert connection.receive().status == 400


def test_an_absolute_target_is_reduced_to_its_path(serve: Serve) -> None:
    """Rule 4. uvicorn's work with httptools; with h11 it leaves scheme and host in the path."""
    environ = json.loads(fetch(serve(WsgiToAsgi(describe)), "http://example.com/x?y").body)
    assert (environ["PATH_INFO"], environ["REQUEST_URI"]) == ("/x", "/x?y")


@on_every_server
@pytest.mark.parametrize("target", ["/caf\xe9", "/caf\xc3\xa9", "/?q=\xe9", "/\xff?\xfe", "/\x80"])
def test_bytes_above_ascii_in_the_target_are_no_error_of_the_server(serve: Serve, target: str) -> None:
    """Rule 4. The parsers refuse them before any application sees them; 500 it must not be."""
    assert fetch(serve(WsgiToAsgi(describe)), target).status == 400


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize(("root_path", "script_name"), [("/api", "/api"), ("/api/", "/api"), ("/", "")])
def test_the_root_path_of_the_server_may_end_in_a_slash(http: str, root_path: str, script_name: str) -> None:
    """Rule 4. uvicorn joins the two as they are."""
    app = Flask(__name__)
    app.add_url_rule("/x", view_func=lambda: {"url": request.url, "uri": request.environ["REQUEST_URI"]})
    with serving(FlaskToAsgi(app), root_path=root_path, http=http) as address:
        response = fetch(address, "/x")
    assert response.status == 200
    uri = f"{script_name}/x"
    assert json.loads(response.body) == {"url": f"http://localhost{uri}", "uri": uri}
