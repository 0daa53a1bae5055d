# SPDX-License-Identifier: MIT
"""The rules of reading a body, by the endpoint that streams it and the one that reads it whole."""

import hashlib
import io
import tracemalloc

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import ClientDisconnected
from werkzeug.test import TestResponse

from ashapp.api import create_app
from ashapp.api.body import read_body
from tests.support.problem_details import assert_problem

MIB = 1024**2
ENDPOINTS = pytest.mark.parametrize(("path", "limit"), [("/upload", 200_000), ("/echo", 1000)])


class Broken(io.RawIOBase):
    """A stream that gives its parts, one for each read, and raises those that are exceptions."""

    def __init__(self, *parts: bytes | Exception) -> None:
        self.parts = iter(parts)

    def read(self, _: int = -1) -> bytes:
        part = next(self.parts, b"")
        if isinstance(part, Exception):
            raise part
        return part

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # narrower than Buffer
        part = self.read()
        buffer[: len(part)] = part
        return len(part)


def post(client: FlaskClient, path: str, stream: io.RawIOBase | bytes, **environ: object) -> TestResponse:
    """Post a stream with the given environ keys, and no Content-Length but a given one."""
    source = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    return client.post(path, environ_overrides={"wsgi.input": source, **environ})


def chunked(client: FlaskClient, path: str, stream: io.RawIOBase | bytes) -> TestResponse:
    """Post as a server does that decodes chunked bodies and ends the stream itself."""
    return post(client, path, stream, HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})


def test_short_reads_are_not_the_end(client: FlaskClient) -> None:
    response = chunked(client, "/upload", Broken(b"a", b"bc", b"d"))
    assert response.get_json()["sha256"] == hashlib.sha256(b"abcd").hexdigest()
    response = post(client, "/upload", Broken(b"a", b"bc", b"d"), CONTENT_LENGTH="4")
    assert response.get_json()["sha256"] == hashlib.sha256(b"abcd").hexdigest()


@ENDPOINTS
def test_limit_holds_for_chunked_bodies(client: FlaskClient, path: str, limit: int) -> None:
    assert chunked(client, path, b"x" * limit).status_code == 200
    assert_problem(chunked(client, path, b"x" * (limit + 1)), 413, str(limit))


@ENDPOINTS
@pytest.mark.parametrize("terminated", [{}, {"wsgi.input_terminated": True}])
def test_announced_excess_is_refused_unread(
    client: FlaskClient, path: str, limit: int, terminated: dict[str, object]
) -> None:
    untouchable = Broken(AssertionError("the body was read"))
    response = post(client, path, untouchable, CONTENT_LENGTH=str(limit + 1), **terminated)
    assert_problem(response, 413, str(limit))


@ENDPOINTS
@pytest.mark.parametrize("terminated", [{}, {"wsgi.input_terminated": True}])
@pytest.mark.parametrize("arrived", [b"", b"abc"])
def test_truncated_body_never_looks_complete(
    client: FlaskClient, path: str, limit: int, terminated: dict[str, object], arrived: bytes
) -> None:
    response = post(client, path, arrived, CONTENT_LENGTH="10", **terminated)
    assert_problem(response, 400, f"{len(arrived)} of 10 bytes")


@ENDPOINTS
@pytest.mark.parametrize(
    "error", [OSError("reset"), ConnectionResetError(), ValueError("closed file"), ClientDisconnected()]
)
@pytest.mark.parametrize("environ", [{"CONTENT_LENGTH": "10"}, {"wsgi.input_terminated": True}])
def test_stream_that_fails_is_400(
    client: FlaskClient, path: str, limit: int, error: Exception, environ: dict[str, object]
) -> None:
    response = post(client, path, Broken(b"abc", error), **environ)
    assert_problem(response, 400, "3")


@ENDPOINTS
def test_chunked_body_that_the_server_does_not_decode_is_411_not_empty(
    client: FlaskClient, path: str, limit: int
) -> None:
    assert_problem(post(client, path, b"3\r\nabc\r\n0\r\n\r\n", HTTP_TRANSFER_ENCODING="chunked"), 411)


@ENDPOINTS
@pytest.mark.parametrize("terminated", [{}, {"wsgi.input_terminated": True}])
@pytest.mark.parametrize("length", ["ten", "-3", "+3", "3, 3", "0x3", "\xb3", "9" * 5000])
def test_length_that_is_no_length_is_400_not_zero(
    client: FlaskClient, path: str, limit: int, terminated: dict[str, object], length: str
) -> None:
    assert_problem(post(client, path, b"abc", CONTENT_LENGTH=length, **terminated), 400, repr(length))


@ENDPOINTS
def test_no_length_and_no_coding_is_no_body(client: FlaskClient, path: str, limit: int) -> None:
    # RFC 9112, section 6.3, rule 7; the stream of such a request need not end.
    assert post(client, path, Broken(AssertionError("the body was read"))).status_code == 200


@pytest.mark.parametrize("path", ["/upload", "/echo"])
def test_no_limit_where_none_is_configured(path: str) -> None:
    client = create_app({"MAX_CONTENT_LENGTH": None, "MAX_UPLOAD_SIZE": None}).test_client()
    assert client.post(path, data=b"x" * 300_000).status_code == 200
    assert chunked(client, path, b"x" * 300_000).status_code == 200


def test_bytes_after_the_announced_ones_are_not_read(app: Flask) -> None:
    environ = {"wsgi.input": io.BytesIO(b"abcNEXT"), "CONTENT_LENGTH": "3"}
    with app.test_request_context("/", environ_overrides=environ):
        assert read_body(None) == b"abc"


class Zeros(io.RawIOBase):
    """An unbuffered stream of so many zero bytes, that remembers the largest read it was asked for."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.largest = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # narrower than Buffer
        self.largest = max(self.largest, len(buffer))
        count = min(self.left, len(buffer))
        buffer[:count] = bytes(count)
        self.left -= count
        return count


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("data", [b"", b"abc", b"\0" * 65536, b"x" * 65537, b"x" * 200_000])
def test_size_and_digest(client: FlaskClient, method: str, data: bytes) -> None:
    response = client.open("/upload", method=method, data=data, content_type="application/x-thing")
    assert response.status_code == 200
    assert response.get_json() == {
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "content_type": "application/x-thing",
    }


@pytest.mark.parametrize("environ", [{"CONTENT_LENGTH": str(64 * MIB)}, {"wsgi.input_terminated": True}])
def test_memory_is_bounded_whatever_the_size(environ: dict[str, object]) -> None:
    stream = Zeros(64 * MIB)
    client = create_app().test_client()
    client.post("/upload", data=b"warm up")
    tracemalloc.start()
    try:
        response = client.post("/upload", environ_overrides={"wsgi.input": stream, **environ})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert response.get_json()["size"] == 64 * MIB
    assert peak < 4 * MIB
    assert stream.largest <= MIB
