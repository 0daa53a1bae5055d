# SPDX-License-Identifier: MIT
"""The harness does what Werkzeug's ``run_wsgi_app`` does, so that a difference is the bridge's."""

import gc
import io
import threading
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from tests.upstream.harness.through_bridge import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def bridged(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("werkzeug.test.run_wsgi_app", server.run_wsgi_app)


class Stream:
    """A WSGI application that makes chunks, and writes down what becomes of them."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.log: list[str] = []

    def __call__(self, _environ: Any, start_response: Any) -> "Stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.log.append(chunk.decode())
            yield chunk

    def close(self) -> None:
        self.log.append("close")


def environ_seen(run: Any, environ: dict[str, Any], body: bytes) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ, body=environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH", 0))))
        start_response("204 NO CONTENT", [])
        return []

    run(application, {**environ, "wsgi.input": io.BytesIO(body)})
    return seen


# What belongs to the server, or is an object of its own.
SERVERS_OWN = {"wsgi.input", "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"path": "/a b/%C3%A9?x=1&y=%20"},
        {"environ_overrides": {"PATH_INFO": "/\xff\xfe", "REQUEST_URI": "/%ff%FE", "RAW_URI": "/%ff%FE"}},
        {
            "base_url": "https://example.org:8443/mounted",
            # Werkzeug leaves the script name out, which is no request target of any server.
            "environ_overrides": {"REQUEST_URI": "/mounted/", "RAW_URI": "/mounted/"},
        },
        {"method": "POST", "data": b"body", "content_type": "text/plain"},
        {"method": "POST", "data": {"field": "value", "file": (io.BytesIO(b"x"), "a.txt")}},
        {"headers": {"X-Word": "caf\xe9", "Cookie": "a=1; b=2"}},
        {"headers": [("X-Twice", "1"), ("X-Twice", "2")]},
        {"environ_base": {"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "5", "own.key": object()}},
        {"errors_stream": io.StringIO()},
    ],
    ids=",".join,
)
def test_the_application_gets_the_environ_that_the_client_made(
    server: Server, options: dict[str, Any]
) -> None:
    environ = EnvironBuilder(**options).get_environ()
    body = environ["wsgi.input"].read()
    expected = environ_seen(run_wsgi_app, environ, body)
    seen = environ_seen(server.run_wsgi_app, environ, body)
    assert {key: seen.get(key) for key in expected if key not in SERVERS_OWN} == {
        key: value for key, value in expected.items() if key not in SERVERS_OWN
    }


@pytest.mark.usefixtures("bridged")
def test_the_application_runs_in_the_clients_thread() -> None:
    threads = []

    def application(_environ: Any, start_response: Any) -> Iterator[bytes]:
        threads.append(threading.current_thread())
        start_response("200 OK", [])
        yield b"one"
        threads.append(threading.current_thread())

    response = Client(application).get("/")
    assert response.data == b"one"
    assert set(threads) == {threading.current_thread()}


@pytest.mark.usefixtures("bridged")
def test_an_async_view_runs_on_the_loop() -> None:
    app = flask.Flask("served")

    @app.get("/")
    async def view() -> str:
        return threading.current_thread().name

    assert app.test_client().get("/").text == "server"


def test_a_stream_is_made_as_it_is_read(server: Server) -> None:
    stream = Stream(b"a", b"b", b"c")
    body, _, _ = server.run_wsgi_app(stream, EnvironBuilder().get_environ())
    chunks = iter(body)
    for made in (["a"], ["a", "b"], ["a", "b", "c"]):
        next(chunks)
        assert stream.log == made
    assert list(chunks) == [b""]
    assert stream.log == ["a", "b", "c", "close"]


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_a_client_that_leaves_stops_the_stream(server: Server, leave: str) -> None:
    stream = Stream(*[b"x"] * 100)
    body, _, _ = server.run_wsgi_app(stream, EnvironBuilder().get_environ())
    if leave == "close":
        body.close()  # type: ignore[attr-defined]
    del body
    gc.collect()
    assert stream.log == ["x", "close"]


def test_what_the_application_raises_reaches_the_client(server: Server) -> None:
    for error in (ValueError("an error"), KeyboardInterrupt()):

        def application(_environ: Any, _start_response: Any, error: BaseException = error) -> list[bytes]:
            raise error

        with pytest.raises(type(error)) as raised:
            server.run_wsgi_app(application, EnvironBuilder().get_environ())
        assert raised.value is error
