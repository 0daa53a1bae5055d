# SPDX-License-Identifier: MIT
"""How responses get from a thread to the loop, and what of them may wait for a client."""

import asyncio
import threading
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashapp.bridge.messages.types import Environ, Message, StartResponse
from ashapp.bridge.request.output_queue import HIGH_WATER, PIECE, BodyStream, WriteBehind, pieces
from ashapp.bridge.wsgi import WsgiToAsgi
from tests.support.asgi import Client
from tests.support.flask import begin
from tests.support.waiting import eventually, until_set

BLOCK = bytes(HIGH_WATER // 4)


async def collect(stream: BodyStream) -> tuple[list[bytes], bool]:
    """Return the chunks, and whether the last one was said to be the last."""
    chunks: list[bytes] = []
    more = True
    while more:
        item = await stream.get()
        if item is None:
            return chunks, False
        chunk, more = item
        chunks.append(chunk)
    return chunks, True


def produce(stream: BodyStream, chunks: Iterable[bytes]) -> "asyncio.Future[None]":
    """Put the *chunks*, and then an empty last one, on a thread."""

    def put() -> None:
        for chunk in chunks:
            stream.put(chunk)
        stream.put(b"", last=True)

    return asyncio.ensure_future(asyncio.to_thread(put))


@given(st.lists(st.integers(0, HIGH_WATER * 2).map(bytes), max_size=8))
async def test_chunks_arrive_in_order_and_whole(chunks: list[bytes]) -> None:
    stream = BodyStream(asyncio.get_running_loop())
    producer = produce(stream, chunks)
    assert await collect(stream) == ([*chunks, b""], True)
    assert await stream.get() == (b"", False), "the end, again"
    await producer


async def test_the_last_chunk_never_blocks() -> None:
    stream = BodyStream(asyncio.get_running_loop())
    stream.put(BLOCK)
    stream.put(BLOCK * 5, last=True)
    assert await collect(stream) == ([BLOCK, BLOCK * 5], True)


async def test_the_producer_waits_while_too_much_is_queued_and_goes_on_when_half_is_gone() -> None:
    stream = BodyStream(asyncio.get_running_loop())
    put: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(40):
            yield BLOCK
            put.append(number)

    producer = produce(stream, chunks())
    await eventually(lambda: len(put) == 3)
    await asyncio.sleep(0.01)
    for taken in range(1, 3):
        await stream.get()
        await asyncio.sleep(0.01)
        assert len(put) == 3, f"it waits until half is gone, and {taken} of 4 are"
    await stream.get()
    await eventually(lambda: len(put) == 6)
    await collect(stream)
    await producer
    assert len(put) == 40


async def test_a_consumer_that_was_cancelled_may_be_woken() -> None:
    stream = BodyStream(asyncio.get_running_loop())
    consumer = asyncio.create_task(stream.get())
    await asyncio.sleep(0)
    consumer.cancel()
    stream.put(b"x", last=True)
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert await stream.get() == (b"x", False)


async def test_the_thread_crosses_to_the_loop_only_where_the_consumer_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    crossings: list[object] = []
    cross = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: crossings.append(cross(*args)))
    stream = BodyStream(loop)
    stream.put(b"a")
    await stream.get()
    assert not crossings
    consumer = asyncio.create_task(stream.get())
    await asyncio.sleep(0)
    stream.put(b"c")
    stream.put(b"d", last=True)
    assert len(crossings) == 1
    assert await consumer == (b"c", True)


# -- what is complete


def test_a_part_of_memory_is_theirs() -> None:
    behind = WriteBehind(lambda: 800)
    assert [behind.take(size) for size in (60, 41, 40)] == [True, False, True]
    behind.give_back(60)
    assert behind.take(50)
    assert behind.held == 90


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
def test_pieces_are_the_whole(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    parts = list(pieces({"type": "http.response.body", "body": body, "more_body": False}))
    assert b"".join(part["body"] for part in parts) == body
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert all(len(part["body"]) <= PIECE for part in parts)
    head: Message = {"type": "http.response.start", "status": 200, "headers": []}
    assert list(pieces(head)) == [head]


class Body(list[bytes]):
    """A list that tells when it is closed."""

    closed: threading.Event

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("parts", [1, 16], ids=["whole", "parts"])
@pytest.mark.parametrize("end", ["behind", "read", "cancel"])
async def test_a_slow_reader_of_what_is_complete_holds_a_thread_only_past_the_bound(
    end: str, parts: int
) -> None:
    closed = threading.Event()
    size = 16 * PIECE

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(size))])
        body = Body([bytes(size // parts)] * parts)
        body.closed = closed
        return body

    bridge = WsgiToAsgi(app, threads=1)
    if end != "behind":
        bridge._behind = WriteBehind(lambda: 0)
    client = Client()
    client.reads.clear()
    request = begin(bridge, client=client)
    await client.until(lambda client: client.sent)
    if end == "behind":
        await until_set(closed)
        await eventually(lambda: bridge.threads.busy == 0)
        assert not client.complete
    else:
        assert bridge.threads.busy == 1
        assert not closed.is_set()
    if end == "cancel":
        request.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request.end()
    else:
        client.reads.set()
        assert len((await request.end()).body) == size
    await until_set(closed)
    await eventually(lambda: bridge.threads.busy == 0)
    assert bridge._behind.held == 0
