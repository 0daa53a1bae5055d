# SPDX-License-Identifier: MIT
import asyncio
import threading
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashapp.bridge.messages.errors import ClientDisconnected
from ashapp.bridge.request.output_queue import HIGH_WATER, BodyStream
from tests.support.waiting import PATIENCE, eventually

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
    await producer


@pytest.mark.parametrize("last", [b"", b"x"])
async def test_the_last_chunk_never_blocks(last: bytes) -> None:
    stream = BodyStream(asyncio.get_running_loop())
    stream.put(BLOCK)
    stream.put(BLOCK * 4 + last, last=True)
    assert await collect(stream) == ([BLOCK, BLOCK * 4 + last], True)


async def test_get_at_the_end_says_so_again() -> None:
    stream = BodyStream(asyncio.get_running_loop())
    stream.put(b"x", last=True)
    assert await stream.get() == (b"x", False)
    assert await stream.get() == (b"", False)


async def test_the_producer_waits_while_a_bounded_number_of_bytes_is_queued() -> None:
    stream = BodyStream(asyncio.get_running_loop())
    put: list[int] = []

    def chunks() -> Iterable[bytes]:
        for number in range(40):
            yield BLOCK
            put.append(number)

    producer = produce(stream, chunks())
    await eventually(lambda: stream._room)
    assert len(put) == 3
    assert stream._size == HIGH_WATER
    taken = 0
    while not producer.done():
        await stream.get()
        taken += 1
        await asyncio.sleep(0)
        assert len(put) <= taken + 4
    await collect(stream)
    assert len(put) == 40


async def test_the_producer_goes_on_when_half_is_gone() -> None:
    stream = BodyStream(asyncio.get_running_loop())
    producer = produce(stream, [BLOCK] * 4)
    await eventually(lambda: stream._room)
    await stream.get()
    await stream.get()
    assert stream._room is not None
    await stream.get()
    assert stream._room is None
    await producer


async def test_a_failed_body_is_never_said_to_end() -> None:
    stream = BodyStream(asyncio.get_running_loop())
    error = ValueError("oops")
    stream.put(b"a")
    stream.put(b"b")
    stream.fail(error)
    assert await collect(stream) == ([b"a", b"b"], False)
    assert stream.error is error


async def test_failing_wakes_the_consumer() -> None:
    stream = BodyStream(asyncio.get_running_loop())
    consumer = asyncio.create_task(stream.get())
    await asyncio.sleep(0)
    await asyncio.to_thread(stream.fail, ValueError("oops"))
    assert await consumer is None


async def test_abandoning_stops_a_blocked_producer() -> None:
    stream = BodyStream(asyncio.get_running_loop())
    producer = produce(stream, [BLOCK] * 9)
    await eventually(lambda: stream._room)
    stream.abandon()
    with pytest.raises(ClientDisconnected):
        await producer
    assert await stream.get() is None


async def test_abandoning_stops_the_next_put_and_wakes_the_consumer() -> None:
    stream = BodyStream(asyncio.get_running_loop())
    consumer = asyncio.create_task(stream.get())
    await asyncio.sleep(0)
    stream.abandon()
    assert await consumer is None
    for last in (False, True):
        with pytest.raises(ClientDisconnected):
            stream.put(b"x", last=last)


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
    stream.put(b"b")
    assert not crossings
    await stream.get()
    await stream.get()
    consumer = asyncio.create_task(stream.get())
    await asyncio.sleep(0)
    stream.put(b"c")
    stream.put(b"d", last=True)
    assert len(crossings) == 1
    assert await consumer == (b"c", True)


@pytest.mark.parametrize("size", [1, HIGH_WATER])
def test_a_producer_outlives_its_loop(size: int) -> None:
    loop = asyncio.new_event_loop()
    stream = BodyStream(loop)
    consumer = stream.get()
    consumer.send(None)  # it sleeps
    loop.close()
    outcome: list[type[Exception] | None] = []

    def produce() -> None:
        try:
            for _ in range(3):
                stream.put(bytes(size))
        except ClientDisconnected as error:
            outcome.append(type(error))

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    producer.join(PATIENCE)
    consumer.close()
    assert outcome == [ClientDisconnected]
