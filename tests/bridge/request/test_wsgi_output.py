# SPDX-License-Identifier: MIT
"""What an application returns and writes, as messages: the same on a worker thread and on the loop."""

import asyncio
import gc
import io
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any
from wsgiref.validate import validator

import pytest

from ashapp.bridge.messages.types import Environ, Message, StartResponse, WsgiApplication
from ashapp.bridge.request.output_queue import HIGH_WATER
from ashapp.bridge.wsgi import WsgiToAsgi
from tests.bridge.request.wsgi_applications import (
    PLAIN,
    Adapter,
    Body,
    answer,
    fail,
    length,
)
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import PATIENCE

# -- framing


@pytest.mark.parametrize("kind", [list, tuple, iter, Body.of])
@pytest.mark.parametrize(
    ("chunks", "headers", "status", "expected"),
    [
        ([b"hello"], length(5), "200 OK", b"hello"),
        ([b"", b"hello", b""], length(5), "200 OK", b"hello"),
        ([], PLAIN, "200 OK", b""),
        ([b"", b""], PLAIN, "200 OK", b""),
        ([b"hello world"], length(5), "200 OK", b"hello"),
        ([b"x"], length(0), "200 OK", b""),
        ([], length(0), "200 OK", b""),
        ([b"body"], PLAIN, "204 No Content", b""),
        ([b"", b"body"], length(4), "304 Not Modified", b""),
    ],
)
async def test_a_complete_response_is_one_start_and_one_body(
    adapt: Adapter,
    kind: Callable[[Any], Iterable[bytes]],
    chunks: list[bytes],
    headers: list[tuple[str, str]],
    status: str,
    expected: bytes,
) -> None:
    client = await fetch(adapt(answer(chunks, headers, status, kind)))
    assert len(client.sent) == 2
    assert client.complete
    assert client.body == expected


@pytest.mark.parametrize("kind", [list, tuple])
async def test_a_list_is_joined(adapt: Adapter, kind: Callable[[Any], Iterable[bytes]]) -> None:
    client = await fetch(adapt(answer([b"he", b"", b"llo"], kind=kind)))
    assert (client.body, len(client.sent)) == (b"hello", 2)


@pytest.mark.parametrize("kind", [list, iter])
async def test_head_has_the_headers_and_no_body(
    adapt: Adapter, kind: Callable[[Any], Iterable[bytes]]
) -> None:
    client = await fetch(adapt(answer([b"", b"x"], length(5), kind=kind)), "HEAD")
    assert (client.complete, client.body, client.headers["content-length"]) == (True, b"", "5")


@pytest.mark.parametrize("headers", [PLAIN, length(10)])
async def test_a_stream_is_sent_as_it_is_made(adapt: Adapter, headers: list[tuple[str, str]]) -> None:
    """Small chunks that are there together may go out together; empty ones do not go out."""
    client = await fetch(adapt(answer([b"", b"01234", b"", b"56789", b""], headers, kind=iter)))
    bodies = [message["body"] for message in client.sent[1:] if message["more_body"] or message["body"]]
    assert bodies in ([b"01234", b"56789"], [b"0123456789"])
    assert client.complete


@pytest.mark.parametrize(("size", "messages"), [(1 << 20, 1), ((1 << 20) + 1, 2), (5 << 19, 3)])
async def test_a_body_that_is_there_goes_out_in_pieces_of_1_mib(
    adapt: Adapter, size: int, messages: int
) -> None:
    client = await fetch(adapt(answer([bytes(size)], length(size), kind=iter)))
    assert len(client.sent) == 1 + messages
    assert client.complete
    assert client.body == bytes(size)


async def test_a_large_list_is_streamed(adapt: Adapter) -> None:
    chunks = [bytes(HIGH_WATER)] * 3
    client = await fetch(adapt(answer(chunks)))
    assert len(client.sent) == 5
    assert client.complete
    assert client.body == b"".join(chunks)


@pytest.mark.parametrize("kind", [list, iter])
@pytest.mark.parametrize("chunks", [[b"abc"], [b"a", b"bc"], [b"", b"abc"]])
async def test_too_little_body_never_looks_complete(
    adapt: Adapter, chunks: list[bytes], kind: Callable[[Any], Iterable[bytes]]
) -> None:
    client = Client()
    with pytest.raises(RuntimeError, match="bytes short of its Content-Length"):
        await adapt(answer(chunks, length(5), kind=kind))(http_scope(), client.receive, client.send)
    assert (client.status, client.body, client.complete) == (200, b"abc", False)


async def test_too_much_body_is_logged(adapt: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    await fetch(adapt(answer([b"hello world"], length(5))))
    assert caplog.messages == ["the response body is longer than its Content-Length: cut off"]


@pytest.mark.parametrize("kind", [list, iter])
@pytest.mark.parametrize("chunks", [[], [b"", b""]])
@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("X-Sendfile", []),
        ("X-Accel-Redirect", []),
        ("X-Other", ["GET /: the response has no body, but its Content-Length is not 0"]),
    ],
)
async def test_no_body_at_all_in_spite_of_its_length_is_as_the_application_says(
    adapt: Adapter,
    chunks: list[bytes],
    kind: Callable[[Any], Iterable[bytes]],
    header: str,
    told: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = await fetch(adapt(answer(chunks, [*length(5), (header, "/file")], kind=kind)))
    assert (client.status, client.body, client.complete) == (200, b"", True)
    assert client.headers["content-length"] == "5"
    assert [record.getMessage() for record in caplog.records] == told


class Strict(Client):
    """A server that counts the bytes of the body, and raises at its end, or at each message after that."""

    def __init__(self, *, takes_more: bool) -> None:
        super().__init__()
        self._takes_more = takes_more

    async def send(self, message: Message) -> None:
        await super().send(message)
        if not message.get("more_body", message["type"] == "http.response.start"):
            raise LookupError("too short")
        if len(self.sent) > 2 and not self._takes_more:
            raise LookupError("complete")


@pytest.mark.parametrize("takes_more", [True, False])
@pytest.mark.parametrize("content", [length(5), PLAIN])
async def test_a_server_that_counts_the_bytes_is_told_to_close(
    adapt: Adapter, content: list[tuple[str, str]], *, takes_more: bool
) -> None:
    """By returning before the end; by an error, if it takes the response to be complete."""
    client = Strict(takes_more=takes_more)
    serving = adapt(answer([], content))(http_scope(), client.receive, client.send)
    with nullcontext() if takes_more and content != PLAIN else pytest.raises(LookupError, match="too short"):
        await serving
    assert client.status == 200


async def test_what_is_handed_to_an_application_returns_what_its_standard_says(adapt: Adapter) -> None:
    """PEP 3333: ``write`` returns nothing. Archives take a result for a count of bytes, as of a file."""
    returned: list[object] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"]
        returned.extend([body.read(1), body.readline(), body.readlines(), body.read()])
        write = start_response("200 OK", length(2))
        returned.extend(write(chunk) for chunk in (b"", b"a", b"b", b"c"))
        returned.append(environ["wsgi.file_wrapper"](io.BytesIO(b"x")).close())
        return []

    client = await fetch(adapt(application), "POST", b"/", b"one\ntwo\n")
    assert client.body == b"ab"
    assert returned == [b"o", b"ne\n", [b"two\n"], b"", None, None, None, None, None]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("extra", [[], [b"more", b"", b"still more"]])
async def test_what_makes_a_body_runs_to_its_end_and_the_client_does_not_wait(
    adapt: Adapter, extra: list[bytes], method: str
) -> None:
    """Though the response is complete before. As under gunicorn; what comes after is dropped."""
    sent = threading.Event()
    steps: list[Any] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", length(5))
        try:
            yield b"hello"
            steps.append(sent.wait(PATIENCE))
            yield from extra
            steps.append("end")
        finally:
            steps.extend([sys.exc_info()[0], threading.get_ident()])

    client = Client()
    request = asyncio.ensure_future(adapt(application)(http_scope(method), client.receive, client.send))
    await client.until(lambda client: client.complete)
    sent.set()
    await request
    assert steps[:3] == [True, "end", None]
    assert steps[3] != threading.get_ident()
    assert (client.body, len(client.sent)) == (b"hello" if method == "GET" else b"", 2)


@pytest.mark.parametrize(("chunk", "seconds", "most"), [(b"", 60, 100), (b"x", 60, 100), (b"x", -1, 1)])
async def test_an_endless_body_is_closed(
    adapt: Adapter,
    chunk: bytes,
    seconds: float,
    most: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ashapp.bridge.request.wsgi_output.RUN_OUT_SECONDS", seconds)
    made: list[bytes] = []
    endings: list[int] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", length(5))
        try:
            yield b"hello"
            while True:
                made.append(chunk)
                yield chunk
        except GeneratorExit:
            endings.append(len(made))
            raise

    client = await fetch(adapt(application))
    assert (client.body, client.complete, endings) == (b"hello", True, [most])
    assert "GET /: what makes the response body goes on past its end: closed" in caplog.messages


async def test_what_fails_behind_the_end_of_a_body_is_logged(
    adapt: Adapter, caplog: pytest.LogCaptureFixture
) -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", length(5))
        yield b"hello"
        fail()

    client = await fetch(adapt(application))
    assert (client.body, client.complete) == (b"hello", True)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError]


# -- PEP 3333


def reading(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"]
    data = body.read(2) + body.readline() + b"".join(body) + b"".join(body.readlines()) + body.read(5)
    start_response("200 OK", PLAIN)
    return [data]


def writing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", PLAIN)
    write(b"a")
    write(b"b")
    return [b"c"]


def generating(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    yield b""
    yield b"ab"
    yield b"c"


def failing_then_explaining(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    try:
        fail()
    except ValueError:
        start_response("500 Oops", PLAIN, sys.exc_info())
    return [b"abc"]


@pytest.mark.parametrize(
    ("application", "method", "chunks", "status"),
    [
        (writing, "GET", [], 200),
        (writing, "HEAD", [], 200),
        (generating, "GET", [], 200),
        (generating, "HEAD", [], 200),
        (failing_then_explaining, "GET", [], 500),
        (reading, "POST", [b"abc"], 200),
        (reading, "POST", [b"a", b"b", b"c"], 200),
        (reading, "PUT", [b""], 200),
    ],
)
async def test_the_validator_has_nothing_to_say(
    application: Any,
    method: str,
    chunks: list[bytes],
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = await fetch(WsgiToAsgi(validator(application)), method, b"/a%FF?b=%20", *chunks)
    assert client.status == status
    assert client.complete
    assert client.body == (b"" if method == "HEAD" or chunks == [b""] else b"abc")
    gc.collect()
    assert capsys.readouterr() == ("", "")


TEXT: Any = ["text"]


def start_twice(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b"x"]


def write_str(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", PLAIN)("text")  # type: ignore[arg-type]  # what is tested
    return []


@pytest.mark.parametrize(
    ("application", "error", "told"),
    [
        (start_twice, AssertionError, "called again without exc_info"),
        (lambda environ, start_response: [b"x"], AssertionError, "before it called start_response"),
        (lambda environ, start_response: [], AssertionError, "before it called start_response"),
        (answer([b"x"], [("X-A", "a\nb")]), ValueError, "control character"),
        (answer([], kind=lambda _: NotImplemented), TypeError, "not iterable"),
        (answer(TEXT, kind=iter), TypeError, "sent str for a body: expected bytes"),
        (answer(TEXT), TypeError, "expected a bytes-like object, str found"),
        (write_str, TypeError, "sent str for a body: expected bytes"),
    ],
)
async def test_what_an_application_does_wrong(
    adapt: Adapter, application: WsgiApplication, error: type[Exception], told: str
) -> None:
    client = Client()
    with pytest.raises(error, match=told):
        await adapt(application)(http_scope(), client.receive, client.send)
    assert client.sent == []
