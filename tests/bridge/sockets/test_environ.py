# SPDX-License-Identifier: MIT
"""Rule 2: the environ is complete."""

import json
import sys
from pathlib import Path
from wsgiref.validate import validator

import pytest
from flask import Flask, Response, request, send_file

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from tests.support import process
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.applications.environ import describe, read_environ
from tests.support.client import Connection, fetch
from tests.support.server import Serve, on_every_server


@stock_fails("many entries are missing, and wsgi.multiprocess does not tell the truth", everywhere=True)
def test_the_environ_is_complete(serve: Serve, adapter: Adapter) -> None:
    """Rule 2."""
    address = serve(adapter(describe))
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


@stock_fails("no HTTPS entry")
def test_https_is_told(serve: Serve, adapter: Adapter) -> None:
    """Rule 2. uvicorn takes the word of a proxy on this machine for the scheme."""
    environ = read_environ(serve, adapter, "/", ("X-Forwarded-Proto", "https"))
    assert (environ["wsgi.url_scheme"], environ.get("HTTPS")) == ("https", "on")


def test_one_thread_is_not_multithreaded(serve: Serve) -> None:
    """Rule 2. Stock asgiref has no such option: it always runs on one thread, and says that it has many."""
    environ = read_environ(serve, lambda app: WsgiToAsgi(app, threads=1))
    assert environ["wsgi.multithread"] is False


def test_a_worker_among_others_is_multiprocess(tmp_path: Path) -> None:
    """Rule 2. Stock asgiref says so always, which is true here."""
    (tmp_path / "worker_app.py").write_text(
        "from ashapp.bridge import WsgiToAsgi\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(environ['wsgi.multiprocess']).encode()]\n"
        "app = WsgiToAsgi(application)\n"
    )
    args = ["worker_app:app", "--app-dir", str(tmp_path), "--workers", "2", "--loop", "asyncio"]
    with process.serving(args, command=[sys.executable, "-m", "uvicorn"]) as server:
        address = ("127.0.0.1", int(server.base_url.rpartition(":")[2]))
        assert fetch(address, "/").body == b"True"


@stock_passes(everywhere=True)
def test_an_http_1_0_request_is_answered(serve: Serve, adapter: Adapter) -> None:
    """Rule 2."""
    with Connection(serve(adapter(describe))) as connection:
        connection.send(b"GET / HTTP/1.0\r\n\r\n")
        environ = json.loads(connection.receive().body)
        assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
        assert "HTTP_HOST" not in environ
        assert connection.is_closed()


VALIDATED = [
    ("GET", "/hello", None),
    ("GET", "/", None),
    ("GET", "/caf%E9?q=%FF&r=%C3%A9", None),
    ("HEAD", "/hello", None),
    ("POST", "/echo", b"x" * 100_000),
    ("POST", "/echo", b""),
    ("DELETE", "/hello", None),
    ("GET", "/nothing", None),
    ("GET", "/unchanged", None),
    ("GET", "/stream", None),
    ("GET", "/file", None),
    ("OPTIONS", "/hello", None),
]


def bodiless(status: int) -> Response:
    response = Response(status=status)
    del response.headers["Content-Type"]
    return response


def validated() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/hello", view_func=lambda: "hello", endpoint="hello")
    app.add_url_rule(
        "/echo", view_func=lambda: request.stream.read(200_000), endpoint="echo", methods=["POST"]
    )
    app.add_url_rule("/stream", view_func=lambda: (f"{n}" for n in range(9)), endpoint="stream")
    app.add_url_rule("/file", view_func=lambda: send_file(__file__), endpoint="file")
    app.add_url_rule("/nothing", view_func=lambda: bodiless(204), endpoint="nothing")
    app.add_url_rule("/unchanged", view_func=lambda: bodiless(304), endpoint="unchanged")
    app.wsgi_app = validator(app.wsgi_app)  # type: ignore[assignment,method-assign]
    return app


@on_every_server
def test_the_validator_has_nothing_to_say(
    serve: Serve, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 2. ``wsgiref.validate`` raises, warns (an error in tests), or complains on standard error.

    Stock asgiref never calls ``close()``; the validator says so when the garbage is collected, which no
    test can expect at a certain time.
    """
    with Connection(serve(FlaskToAsgi(validated()))) as connection:
        for method, target, body in VALIDATED:
            response = connection.request(method, target, body=body)
            assert response.status in {200, 204, 304, 404, 405}, (method, target)
    assert caplog.text == ""
    assert capfd.readouterr().err == ""
