# SPDX-License-Identifier: MIT
"""A request body and its input stream by themselves: a file like any other, backpressure, disconnects."""

import asyncio
import io
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import RequestEntityTooLarge

from ashapp.bridge.messages.errors import ClientDisconnected
from ashapp.bridge.messages.types import Message
from ashapp.bridge.request.uploads.input_stream import InputStream
from ashapp.bridge.request.uploads.request_body import HIGH_WATER
from tests.support.asgi import Client
from tests.support.waiting import eventually, on_a_thread

BLOCK = bytes(HIGH_WATER)
mark = ContextVar("mark", default="none")
in_both_orders = pytest.mark.parametrize("started", [True, False])


class Repeating:
    """A ``receive`` that says the same for ever, and never waits."""

    def __init__(self, chunk: bytes, *, more: bool) -> None:
        self.message: Message = {"type": "http.request", "body": chunk, "more_body": more}
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        return self.message


def body_of(client: Client | Repeating, *, started: bool = False, length: int | None = None) -> InputStream:
    body = InputStream(client.receive, asyncio.get_running_loop())
    body.announced, body.length = True, length
    if started:
        body.start()
    return body


async def a_few_steps() -> None:
    """Let the loop do what it has to do, if it has."""
    for _ in range(10):
        await asyncio.sleep(0)


# -- a file like any other

sizes = st.none() | st.integers(-1, 12)
texts = st.text("ab\n", max_size=15).map(str.encode)
steps = st.one_of(
    st.tuples(st.sampled_from(["read", "readline", "readlines"]), sizes),
    st.tuples(st.sampled_from(["readinto", "readinto1"]), st.integers(0, 12)),
    st.tuples(st.just("read1"), st.integers(-1, 12)),
    st.tuples(st.just("next"), st.none()),
)


def take(file: Any, name: str, argument: Any) -> Any:
    if name == "next":
        return next(file, b"")
    if name.startswith("readinto"):
        buffer = bytearray(argument)
        return bytes(buffer[: getattr(file, name)(buffer)])
    return getattr(file, name)(argument)


def compare(stream: InputStream, whole: bytes, plan: list[tuple[str, Any]]) -> None:
    """Take the steps of *plan* with *stream* and with a file of the same bytes."""
    file = io.BufferedReader(io.BytesIO(whole))
    for name, argument in plan:
        if name.endswith("1"):
            got, left = take(stream, name, argument), whole[file.tell() :]
            assert got == file.read(len(got))
            assert got or argument == 0 or not left
            assert len(got) <= argument or argument < 0
        else:
            assert take(stream, name, argument) == take(file, name, argument)
    assert stream.read() == file.read()
    assert [take(stream, name, 5) for name in ("read", "readline", "read1", "readinto", "next")] == [b""] * 5


@given(
    whole=texts,
    plan=st.lists(steps, max_size=8),
    lengths=st.lists(st.integers(0, 15), max_size=5),
    late=st.booleans(),
)
async def test_reads_equal_those_of_a_file(
    whole: bytes, plan: list[tuple[str, Any]], lengths: list[int], *, late: bool
) -> None:
    """Of what has come, and of what comes while they wait."""
    client = Client(more=True)
    reader = asyncio.create_task(on_a_thread(compare, body_of(client), whole, plan))
    left = whole
    for length in lengths:
        if late:
            await client.until(lambda client: client._inbox.empty() or reader.done())
        client.say(left[:length], more=True)
        left = left[length:]
    client.say(left)
    await reader


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_reads_return_bytes_whatever_the_server_has(kind: Callable[[bytes], Any]) -> None:
    client = Client(kind(b"ab\ncd\nef"), cast("Any", None), kind(b""))
    stream = body_of(client, started=True)
    parts = await on_a_thread(
        lambda: [stream.read(1), stream.readline(), *stream.readlines(1), stream.read()]
    )
    assert [(type(part), part) for part in parts] == [
        (bytes, part) for part in (b"a", b"b\n", b"cd\n", b"ef")
    ]


async def test_it_may_be_wrapped_as_any_file() -> None:
    stream = body_of(Client(b"a\xc3", b"\xa9\n", b"b"))
    text = io.TextIOWrapper(cast("io.BufferedReader", stream), "utf-8")
    assert await on_a_thread(list, text) == ["a\u00e9\n", "b"]
    assert (stream.readable(), stream.writable(), stream.seekable()) == (True, False, False)


@given(
    chunks=st.lists(texts, max_size=6),
    limit=st.none() | st.integers(0, 50),
    size=st.integers(1, 12),
    name=st.sampled_from(["read", "read1", "readline", "readinto", "readinto1"]),
)
async def test_no_read_passes_the_limit(chunks: list[bytes], limit: int | None, size: int, name: str) -> None:
    stream = body_of(Client(*chunks))
    stream.max_length = lambda: limit
    whole = b"".join(chunks)
    parts: list[bytes] = []

    def read() -> None:
        while part := take(stream, name, size):
            parts.append(part)

    if limit is None or len(whole) <= limit:
        await on_a_thread(read)
        assert b"".join(parts) == whole
    else:
        with pytest.raises(RequestEntityTooLarge):
            await on_a_thread(read)
        assert whole.startswith(b"".join(parts))
        assert len(b"".join(parts)) <= limit


# -- backpressure


async def test_it_receives_no_more_while_the_reader_rests() -> None:
    client = Client(*[bytes(1000)] * 1000)
    stream = body_of(client, started=True)
    for read, asked in [(0, 62), (10_000, 72), (990_000, 1000)]:
        assert len(await on_a_thread(stream.read, read)) == read
        await eventually(lambda asked=asked: client.asked == asked)  # type: ignore[misc]
        await a_few_steps()
        assert client.asked == asked


async def test_a_body_of_single_bytes_is_bounded_in_number() -> None:
    server = Repeating(b"x", more=True)
    body = body_of(server, started=True)
    await eventually(lambda: body.is_resting)
    assert server.asked == -(-HIGH_WATER // 65)
    body.stop()


# -- a client that goes


async def test_a_client_may_go_after_the_end() -> None:
    client = Client(b"ab")
    client.leave()
    body = stream = body_of(client, started=True)
    await a_few_steps()
    body.stop()
    assert [await on_a_thread(stream.read) for _ in range(2)] == [b"ab", b""]


ENDS: dict[str, Callable[[Client, InputStream], None]] = {
    "leave": lambda client, _: client.leave(),
    "stop": lambda _, body: body.stop(),
    "fail": lambda client, _: client.fail(ValueError("oops")),
    "cancel": lambda client, _: client.fail(asyncio.CancelledError()),
}


@pytest.mark.parametrize("end", ENDS)
@in_both_orders
async def test_a_waiting_reader_is_told(end: str, caplog: pytest.LogCaptureFixture, *, started: bool) -> None:
    client = Client(b"ab", more=True)
    body = stream = body_of(client, started=started)
    reader = asyncio.create_task(on_a_thread(stream.read))
    await client.until(lambda client: client.asked == 2)
    await eventually(lambda: body.taken)
    ENDS[end](client, body)
    with pytest.raises(ClientDisconnected):
        await reader
    failures = ["receive() failed; taken for a disconnect"] if end == "fail" else []
    assert [record.getMessage() for record in caplog.records] == failures
    with pytest.raises(ClientDisconnected):
        await on_a_thread(stream.read1)


@in_both_orders
async def test_after_the_call_a_read_raises(*, started: bool) -> None:
    client = Client(more=True)
    body = stream = body_of(client, started=started)
    body.stop()
    with pytest.raises(ClientDisconnected):
        await on_a_thread(stream.read)
    body.start()
    await a_few_steps()
    assert client.asked == 0


async def test_watch_takes_in_a_bounded_part_of_an_unread_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then one message more, now and then."""
    monkeypatch.setattr("ashapp.bridge.request.uploads.request_body._FIRST_LOOK", 0.3)
    client = Client(*[BLOCK] * 40)
    body = stream = body_of(client)
    body.watch(lambda: None)
    await eventually(lambda: client.asked == 16)
    await a_few_steps()
    assert client.asked == 16
    await eventually(lambda: client.asked == 17)
    assert len(await on_a_thread(stream.read)) == 40 * HIGH_WATER


# -- a server that goes on past the end, or never waits


@pytest.mark.parametrize("watched", ["before", "after", "never"])
@pytest.mark.parametrize(("more", "length"), [(False, None), (False, 5), (True, 5), (True, 15)])
async def test_past_the_end_a_server_is_asked_no_more(
    *, more: bool, length: int | None, watched: str
) -> None:
    server = Repeating(b"hello", more=more)
    body = stream = body_of(server, length=length)
    gone: list[int] = []
    if watched == "before":
        body.watch(lambda: gone.append(1))
    assert await on_a_thread(stream.read) == b"hello" * ((length or 5) // 5)
    if watched == "after":
        body.watch(lambda: gone.append(1))
    await a_few_steps()
    assert server.asked <= (length or 5) // 5 + 1
    assert not gone
    assert await on_a_thread(stream.read) == b""


async def test_a_server_that_never_waits_leaves_the_loop_to_others() -> None:
    server = Repeating(b"", more=True)
    body = body_of(server, started=True)
    await a_few_steps()
    assert server.asked < 1000
    body.stop()
    await a_few_steps()
