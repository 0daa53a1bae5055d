# SPDX-License-Identifier: MIT
"""Rule 5: the body of a request, streamed to the application."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterable
from typing import IO, Any

import pytest
from flask import Flask, request

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.messages.types import Environ, StartResponse
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.client import Connection, chunk, fetch
from tests.support.server import Serve, on_every_server

CHUNKED = ("Transfer-Encoding", "chunked")
BODY = bytes(range(256)) * 1200


def digest(data: bytes) -> bytes:
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


READERS: dict[str, Callable[[], Any]] = {
    "/data": lambda: digest(request.get_data()),
    "/json": lambda: request.get_json(force=True),
    "/form": lambda: request.form,
    "/file": lambda: digest(request.files["file"].read()),
    "/stream": lambda: digest(b"".join(iter(lambda: request.stream.read(1000), b""))),
    "/lines": lambda: digest(b"".join(request.stream)),
    "/unread": lambda: "not read",
}


def reader() -> Flask:
    """An application that reads a body in each of the ways that Flask has."""
    app = Flask(__name__)
    for target, view in READERS.items():
        app.add_url_rule(target, target, view, methods=["POST"])

    @app.post("/async")
    async def async_view() -> bytes:
        return digest(request.get_data())

    return app


def split(data: bytes, *sizes: int) -> bytes:
    """Return *data* as a chunked body with chunks of these sizes, then the rest in one."""
    body = b""
    for size in sizes:
        body, data = body + chunk(data[:size]), data[size:]
    return body + (chunk(data) if data else b"") + chunk()


@on_every_server
@pytest.mark.parametrize("target", ["/data", "/stream", "/lines", "/async"])
@pytest.mark.parametrize("sizes", [[], [1] * 300, [65536, 65536, 1], [300_000]], ids=["1", "300", "4", "2"])
def test_a_chunked_upload_is_seen_whole(serve: Serve, target: str, sizes: list[int]) -> None:
    """Rule 5. Stock asgiref: see the next test."""
    with Connection(serve(FlaskToAsgi(reader()))) as connection:
        connection.send_request("POST", target, [CHUNKED])
        connection.send(split(BODY, *sizes))
        assert connection.receive().body == digest(BODY)
        assert connection.request("POST", "/data", body=b"next").body == digest(b"next")


MULTIPART = (
    b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n%s\r\n--xyz--\r\n' % BODY
)


@stock_fails("a chunked body is empty for Flask", FlaskToAsgi)
@pytest.mark.parametrize(
    ("target", "content_type", "body", "expected"),
    [
        ("/data", "application/octet-stream", BODY, digest(BODY)),
        ("/json", "application/json", b'{"a": [1]}', b'{"a":[1]}\n'),
        ("/form", "application/x-www-form-urlencoded", b"a=1&b=%C3%A9", b'{"a":"1","b":"\\u00e9"}\n'),
        ("/file", "multipart/form-data; boundary=xyz", MULTIPART, digest(BODY)),
    ],
)
def test_a_chunked_upload_is_parsed(
    serve: Serve, adapter: Adapter, target: str, content_type: str, body: bytes, expected: bytes
) -> None:
    """Rule 5."""
    with Connection(serve(adapter(reader()))) as connection:
        connection.send_request("POST", target, [CHUNKED, ("Content-Type", content_type)])
        connection.send(split(body, 1, 5))
        assert connection.receive().body == expected


@stock_passes(FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_000])
def test_an_upload_of_known_length_is_seen_whole(serve: Serve, adapter: Adapter, size: int) -> None:
    """Rule 5."""
    body = (BODY * 4)[:size]
    response = fetch(serve(adapter(reader())), "/stream", "POST", body=body)
    assert response.body == digest(body)


@on_every_server
@pytest.mark.parametrize("size", [10, 400_000])
def test_an_unread_body_does_not_spoil_the_connection(serve: Serve, size: int) -> None:
    """Rule 5. Stock asgiref fails at the second request of a connection."""
    with Connection(serve(FlaskToAsgi(reader()))) as connection:
        for _ in range(3):
            assert connection.request("POST", "/unread", body=bytes(size)).body == b"not read"


READS: dict[str, Callable[[IO[bytes]], list[bytes]]] = {
    "read": lambda body: [body.read()],
    "read a negative size": lambda body: [body.read(-1)],
    "read nothing": lambda body: [body.read(0), body.read(3), body.read(0), body.read()],
    "read too much": lambda body: [body.read(1_000), body.read(1), body.read()],
    "readline": lambda body: [body.readline(), body.readline(2), body.readline(-1), body.readline()],
    "readlines": lambda body: body.readlines(),
    "readlines with a hint": lambda body: body.readlines(5),
    "iterate": lambda body: [next(iter(body)), *body],
}


@stock_passes()
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_input_is_a_file(
    serve: Serve, adapter: Adapter, read: Callable[[IO[bytes]], list[bytes]]
) -> None:
    """Rule 5, over chunks that end in the midst of lines. Stock asgiref gives a real file."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [repr(read(environ["wsgi.input"])).encode()]

    text = b"one\ntwo\n\nthree"
    with Connection(serve(adapter(application))) as connection:
        connection.send_request("POST", "/", [CHUNKED])
        connection.send(split(text, 2, 1, 1, 3))
        assert connection.receive().body == repr(read(io.BytesIO(text))).encode()


@stock_fails("the whole body is taken in before the application runs", FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_application_reads_while_the_client_sends(serve: Serve, adapter: Adapter, framing: str) -> None:
    """Rule 5. The client goes on only when the application has got what there is."""
    app = Flask(__name__)
    got = threading.Semaphore(0)

    @app.post("/")
    def view() -> bytes:
        parts = []
        for _ in range(3):
            parts.append(request.stream.read(3))
            got.release()
        return b"-".join(parts) + request.stream.read()

    with Connection(serve(adapter(app))) as connection:
        fields = [CHUNKED] if framing == "chunked" else [("Content-Length", "9")]
        connection.send_request("POST", "/", fields)
        for part in (b"abc", b"def", b"ghi"):
            connection.send(chunk(part) if framing == "chunked" else part)
            assert got.acquire(timeout=5 if adapter is FlaskToAsgi else 0.2)
        if framing == "chunked":
            connection.send(chunk())
        assert connection.receive().body == b"abc-def-ghi"


@stock_fails("the whole body is taken in, however slow the application is", FlaskToAsgi, everywhere=True)
def test_the_client_is_held_back_while_the_application_does_not_read(serve: Serve, adapter: Adapter) -> None:
    """Rule 5. What the client gets rid of is bounded by the buffers of the sockets and of the bridge."""
    app = Flask(__name__)
    proceed = threading.Event()
    size = 32 << 20

    @app.post("/")
    def view() -> str:
        request.stream.read(1)
        proceed.wait(10)
        return str(1 + sum(map(len, iter(lambda: request.stream.read(1 << 20), b""))))

    with Connection(serve(adapter(app))) as connection:
        connection.send_request("POST", "/", [("Content-Length", str(size))])
        held = connection.send_until_held(size)
        proceed.set()
        connection.send(bytes(size - held))
        assert connection.receive().body == str(size).encode()
    assert held < size / 2
