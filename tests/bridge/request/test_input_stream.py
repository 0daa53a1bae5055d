# SPDX-License-Identifier: MIT
import asyncio
import io
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import RequestEntityTooLarge

from ashapp.bridge.messages.errors import ClientDisconnected
from ashapp.bridge.messages.types import Message
from ashapp.bridge.request.input_stream import InputStream
from ashapp.bridge.request.request_body import HIGH_WATER, RequestBody
from tests.support.asgi import Client
from tests.support.waiting import eventually, on_a_thread

BLOCK = bytes(HIGH_WATER)
mark = ContextVar("mark", default="none")

READS: dict[str, Callable[[InputStream], object]] = {
    "read": lambda body: body.read(),
    "read some": lambda body: body.read(5),
    "read1": lambda body: body.read1(),
    "readinto": lambda body: body.readinto(bytearray(5)),
    "readinto1": lambda body: body.readinto1(bytearray(5)),
    "readline": lambda body: body.readline(),
    "readlines": lambda body: body.readlines(),
    "iteration": next,
}
every_read = pytest.mark.parametrize("read", READS.values(), ids=READS)


def body_of(client: Client, *, started: bool = False) -> InputStream:
    body = RequestBody(client.receive, asyncio.get_running_loop())
    body.announced = True
    if started:
        body.start()
    return InputStream(body)


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


def compare(body: InputStream, whole: bytes, plan: list[tuple[str, Any]]) -> None:
    """Take the steps of *plan* with *body* and with a file of the same bytes."""
    file = io.BufferedReader(io.BytesIO(whole))
    for name, argument in plan:
        if name.endswith("1"):
            got, left = take(body, name, argument), whole[file.tell() :]
            assert got == file.read(len(got))
            assert got or argument == 0 or not left
            assert len(got) <= argument or argument < 0
        else:
            assert take(body, name, argument) == take(file, name, argument)
    assert body.read() == file.read()
    assert [take(body, name, 5) for name in ("read", "readline", "read1", "readinto", "next")] == [b""] * 5


@given(chunks=st.lists(texts, max_size=6), plan=st.lists(steps, max_size=8), started=st.booleans())
async def test_reads_equal_those_of_a_file(
    chunks: list[bytes], plan: list[tuple[str, Any]], *, started: bool
) -> None:
    await on_a_thread(compare, body_of(Client(*chunks), started=started), b"".join(chunks), plan)


@given(texts, st.lists(steps, max_size=8), st.lists(st.integers(1, 15), max_size=5))
async def test_reads_wait_for_what_comes_late(
    whole: bytes, plan: list[tuple[str, Any]], lengths: list[int]
) -> None:
    client = Client(more=True)
    reader = asyncio.create_task(on_a_thread(compare, body_of(client), whole, plan))
    left = whole
    for length in lengths:
        await client.until(lambda client: client._inbox.empty() or reader.done())
        client.say(left[:length], more=True)
        left = left[length:]
    client.say(left)
    await reader


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_reads_return_bytes_whatever_the_server_has(kind: Callable[[bytes], Any]) -> None:
    client = Client(kind(b"ab\ncd\nef"), cast("Any", None), kind(b""))
    body = body_of(client, started=True)
    parts = await on_a_thread(lambda: [body.read(1), body.readline(), *body.readlines(1), body.read()])
    assert [(type(part), part) for part in parts] == [
        (bytes, part) for part in (b"a", b"b\n", b"cd\n", b"ef")
    ]


async def test_it_may_be_wrapped_as_any_file() -> None:
    body = body_of(Client("a\u00e9\n".encode()[:2], "a\u00e9\n".encode()[2:], b"b"))
    assert await on_a_thread(list, io.TextIOWrapper(cast("io.BufferedReader", body), "utf-8")) == [
        "a\u00e9\n",
        "b",
    ]
    assert (body.readable(), body.writable(), body.seekable()) == (True, False, False)


# -- backpressure


async def test_nothing_is_received_before_it_is_wanted() -> None:
    client = Client(b"x")
    body = body_of(client)
    await a_few_steps()
    assert client.asked == 0
    assert await on_a_thread(body.read, 0) == b""
    assert client.asked == 0
    assert await on_a_thread(body.read) == b"x"
    assert client.asked == 1


async def test_it_receives_no_more_while_the_reader_rests() -> None:
    client = Client(*[bytes(1000)] * 1000)
    body = body_of(client, started=True)
    await eventually(lambda: client.asked == 62)
    await a_few_steps()
    assert client.asked == 62
    assert len(await on_a_thread(body.read, 10_000)) == 10_000
    await eventually(lambda: client.asked == 72)
    await a_few_steps()
    assert client.asked == 72
    assert len(await on_a_thread(body.read)) == 990_000


async def test_it_receives_no_more_after_the_end() -> None:
    client = Client(b"x", b"y")
    assert await on_a_thread(body_of(client, started=True).read) == b"xy"
    await a_few_steps()
    assert client.asked == 2


async def test_the_context_of_the_reader_does_not_reach_the_server() -> None:
    seen: list[str] = []

    class Server(Client):
        async def receive(self) -> Message:
            seen.append(mark.get())
            return await super().receive()

    def read() -> bytes:
        mark.set("reader")
        return body.read()

    body = body_of(Server(*[BLOCK] * 5))
    assert len(await on_a_thread(read)) == 5 * HIGH_WATER
    assert seen == ["none"] * 5


# -- a client that goes


@every_read
@pytest.mark.parametrize("started", [True, False])
async def test_a_truncated_body_never_looks_complete(
    read: Callable[[InputStream], object], *, started: bool
) -> None:
    client = Client(b"ab", more=True)
    client.leave()
    body = body_of(client, started=started)
    assert await on_a_thread(body.read, 2) == b"ab"
    for _ in range(2):
        with pytest.raises(ClientDisconnected):
            await on_a_thread(read, body)


@pytest.mark.parametrize("reads", [["read"], ["readlines"], ["read1", "read1"], ["readline"]])
async def test_a_partial_read_does_not_hide_a_disconnect(reads: list[str]) -> None:
    client = Client(b"ab", more=True)
    client.leave()
    body = body_of(client)
    with pytest.raises(ClientDisconnected):  # noqa: PT012 - at the last of them, if not before
        for name in reads:
            await on_a_thread(READS[name], body)


async def test_a_client_may_go_after_the_end() -> None:
    client = Client(b"ab")
    client.leave()
    body = body_of(client, started=True)
    await a_few_steps()
    body.body.stop()
    assert [await on_a_thread(body.read) for _ in range(2)] == [b"ab", b""]


def leave(client: Client, body: InputStream) -> None:
    client.leave()


def stop(client: Client, body: InputStream) -> None:
    body.body.stop()


def fail(client: Client, body: InputStream) -> None:
    client.fail(ValueError("oops"))


def cancel(client: Client, body: InputStream) -> None:
    client.fail(asyncio.CancelledError())


@pytest.mark.parametrize("end", [leave, stop, fail, cancel])
@pytest.mark.parametrize("started", [True, False])
async def test_a_waiting_reader_is_told(
    end: Callable[[Client, InputStream], None], caplog: pytest.LogCaptureFixture, *, started: bool
) -> None:
    client = Client(more=True)
    body = body_of(client, started=started)
    reader = asyncio.create_task(on_a_thread(body.read))
    await client.until(lambda client: client.asked)
    await eventually(lambda: body.body._wakes)
    end(client, body)
    with pytest.raises(ClientDisconnected):
        await reader
    failures = ["receive() failed; taken for a disconnect"] if end is fail else []
    assert [record.getMessage() for record in caplog.records] == failures


@pytest.mark.parametrize("started", [True, False])
async def test_after_the_exchange_a_read_raises(*, started: bool) -> None:
    client = Client(more=True)
    body = body_of(client, started=started)
    body.body.stop()
    with pytest.raises(ClientDisconnected):
        await on_a_thread(body.read)
    body.body.start()
    await a_few_steps()
    assert client.asked == 0


def test_a_reader_outlives_its_loop() -> None:
    loop = asyncio.new_event_loop()
    body = InputStream(RequestBody(Client(more=True).receive, loop))
    loop.close()
    with pytest.raises(ClientDisconnected, match="server has stopped"):
        body.read()


# -- watching for a disconnect


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize(
    "chunks", [(), (b"x",), (b"x", b"y"), (BLOCK, BLOCK, b"z")], ids=["none", "one", "two", "large"]
)
@pytest.mark.parametrize("read_first", [True, False])
async def test_watch_tells_of_a_disconnect_once(
    chunks: tuple[bytes, ...], *, started: bool, read_first: bool
) -> None:
    client = Client(*chunks)
    body = body_of(client, started=started)
    gone: list[str] = []
    if read_first:
        assert await on_a_thread(body.read) == b"".join(chunks)
    body.body.watch(lambda: gone.append(threading.current_thread().name))
    await client.until(lambda client: client.asked > len(chunks) or (not chunks and client.asked > 1))
    assert not gone
    client.leave()
    await eventually(lambda: gone)
    await a_few_steps()
    assert gone == [threading.current_thread().name]
    assert await on_a_thread(body.read) == (b"" if read_first else b"".join(chunks))


async def test_watch_tells_at_once_of_a_client_that_has_gone() -> None:
    client = Client(more=True)
    client.leave()
    body = body_of(client)
    with pytest.raises(ClientDisconnected):
        await on_a_thread(body.read)
    gone: list[int] = []
    body.body.watch(lambda: gone.append(1))
    assert gone == [1]


@pytest.mark.parametrize("error", [ValueError("oops"), asyncio.CancelledError()])
async def test_watch_takes_a_failing_receive_for_a_disconnect(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(b"x", more=True)
    body = body_of(client)
    gone: list[int] = []
    body.body.watch(lambda: gone.append(1))
    client.fail(error)
    await eventually(lambda: gone)
    assert len(caplog.records) == isinstance(error, ValueError)


async def test_watch_ends_with_the_exchange() -> None:
    client = Client(b"x")
    body = body_of(client)
    gone: list[int] = []
    body.body.watch(lambda: gone.append(1))
    await client.until(lambda client: client.asked == 2)
    body.body.stop()
    client.leave()
    await a_few_steps()
    assert not gone


async def test_watch_takes_in_a_bounded_part_of_an_unread_body() -> None:
    client = Client(*[BLOCK] * 40)
    body = body_of(client)
    body.body.watch(lambda: None)
    await eventually(lambda: client.asked == 16)
    await a_few_steps()
    assert client.asked == 16
    assert len(await on_a_thread(body.read)) == 40 * HIGH_WATER


# -- a server that goes on past the end, or never waits


class Repeating:
    """A ``receive`` that says the same for ever, and never waits."""

    def __init__(self, chunk: bytes, *, more: bool) -> None:
        self.message: Message = {"type": "http.request", "body": chunk, "more_body": more}
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        return self.message


def repeated(chunk: bytes, *, more: bool, length: int | None = None) -> tuple[Repeating, InputStream]:
    server = Repeating(chunk, more=more)
    body = InputStream(RequestBody(server.receive, asyncio.get_running_loop()))
    body.body.announced, body.body.length = True, length
    return server, body


@pytest.mark.parametrize("watched", ["before", "after", "never"])
@pytest.mark.parametrize(("more", "length"), [(False, None), (False, 5), (True, 5), (True, 15)])
async def test_past_the_end_a_server_is_asked_no_more(
    *, more: bool, length: int | None, watched: str
) -> None:
    server, body = repeated(b"hello", more=more, length=length)
    gone: list[int] = []
    if watched == "before":
        body.body.watch(lambda: gone.append(1))
    assert await on_a_thread(body.read) == b"hello" * ((length or 5) // 5)
    if watched == "after":
        body.body.watch(lambda: gone.append(1))
    await a_few_steps()
    assert server.asked <= (length or 5) // 5 + 1
    assert not gone
    assert await on_a_thread(body.read) == b""


@pytest.mark.parametrize("chunk", [b"", b"x"])
async def test_a_server_that_never_waits_leaves_the_loop_to_others(chunk: bytes) -> None:
    server, body = repeated(chunk, more=True)
    body.body.start()
    await a_few_steps()
    assert server.asked < 1000
    body.body.stop()
    await a_few_steps()


async def test_a_body_of_single_bytes_is_bounded_in_number() -> None:
    server, body = repeated(b"x", more=True)
    body.body.start()
    await eventually(lambda: body.body.is_resting)
    assert server.asked == -(-HIGH_WATER // 65)
    body.body.stop()


async def test_no_more_is_taken_than_the_head_has_announced() -> None:
    body = body_of(Client(b"abc", b"def"))
    body.body.length = 4
    assert await on_a_thread(body.read) == b"abcd"


# -- on the loop


async def test_a_read_that_would_block_the_loop_raises() -> None:
    body = body_of(Client(more=True), started=True)
    with pytest.raises(RuntimeError, match="would block it"):
        body.read()
    body.body.stop()


# -- a limit


@given(
    chunks=st.lists(texts, max_size=6),
    limit=st.none() | st.integers(0, 50),
    size=st.integers(1, 12),
    name=st.sampled_from(["read", "read1", "readline", "readinto", "readinto1"]),
)
async def test_no_read_passes_the_limit(chunks: list[bytes], limit: int | None, size: int, name: str) -> None:
    body = body_of(Client(*chunks))
    body.max_length = lambda: limit
    whole = b"".join(chunks)
    parts: list[bytes] = []

    def read() -> None:
        while part := take(body, name, size):
            parts.append(part)

    if limit is None or len(whole) <= limit:
        await on_a_thread(read)
        assert b"".join(parts) == whole
    else:
        with pytest.raises(RequestEntityTooLarge):
            await on_a_thread(read)
        assert whole.startswith(b"".join(parts))
        assert len(b"".join(parts)) <= limit


@every_read
@pytest.mark.parametrize("chunks", [(b"abc\n",), (b"ab", b"c\n"), (b"a", b"b", b"c", b"\n")])
async def test_a_body_that_is_too_long_raises(
    read: Callable[[InputStream], object], chunks: tuple[bytes, ...]
) -> None:
    body = body_of(Client(*chunks))
    body.max_length = lambda: 3
    with pytest.raises(RequestEntityTooLarge):  # noqa: PT012 - the first or the second or the third
        for _ in range(3):
            await on_a_thread(read, body)


async def test_the_limit_may_change_between_reads() -> None:
    body = body_of(Client(b"abcdef"))
    limit = 2
    body.max_length = lambda: limit
    with pytest.raises(RequestEntityTooLarge):
        await on_a_thread(body.read, 2)
    limit = 6
    assert await on_a_thread(body.read) == b"cdef"
