# SPDX-License-Identifier: MIT
"""What docs/async.md says, of its own snippets: streams."""

import logging
import threading
from collections.abc import Iterator

import httpx
import pytest

from ashapp import FlaskToAsgi
from tests.docs.conftest import Run
from tests.support.client import Connection, fetch
from tests.support.server import serving
from tests.support.waiting import until


@pytest.fixture
def streams(run: Run, caplog: pytest.LogCaptureFixture) -> Iterator[tuple[str, int]]:
    shop = run("Streams and server-sent events", {"sleep(1)": "sleep(0.05)"})
    caplog.set_level(logging.INFO, shop.app.logger.name)
    with serving(FlaskToAsgi(shop.app, threads=1)) as address:
        yield address


def test_events_are_sent_at_once_and_end_with_the_client(
    streams: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    with Connection(streams) as connection:
        connection.send_request("GET", "/ticks?prefix=tock")
        assert connection.receive_head().one("content-type") == "text/event-stream; charset=utf-8"
        chunks = connection.receive_chunks()
        assert [next(chunks) for _ in range(3)] == [b"data: tock %d\n\n" % number for number in range(3)]
    until(lambda: "nobody listens any more" in caplog.text)


async def test_streams_hold_no_thread(streams: tuple[str, int]) -> None:
    before = set(threading.enumerate())
    async with httpx.AsyncClient(base_url=f"http://{streams[0]}:{streams[1]}") as client:
        for _ in range(5):
            response = await client.send(client.build_request("GET", "/ticks"), stream=True)
            assert await anext(response.aiter_text()) == "data: tick 0\n\n"
        assert set(threading.enumerate()) <= before


def test_a_view_may_yield(streams: tuple[str, int]) -> None:
    lines = [b"/count/3 %d\n" % number for number in range(3)]
    assert fetch(streams, "/count/3").body == b"".join(lines)


def test_a_generator_in_the_context_has_one(streams: tuple[str, int]) -> None:
    assert fetch(streams, "/progress?step=1&step=2").body == b"/progress 1\n/progress 2\n"
