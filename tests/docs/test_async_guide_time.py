# SPDX-License-Identifier: MIT
"""What docs/async.md says, of its own snippets: streams, clients that leave, time limits, and tasks."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ashapp import FlaskToAsgi
from ashapp.testing import Client
from tests.docs.conftest import Run, Shop
from tests.support.client import Connection, fetch
from tests.support.journal import Journal
from tests.support.server import serving
from tests.support.waiting import PATIENCE, until


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


def test_a_client_that_comes_back_goes_on(run: Run) -> None:
    shop = run("Server-sent events by `sse`", {"sleep(1)": "sleep(0)"})
    last = {"Last-Event-ID": "7"}
    with Client(shop.app) as client, client.stream("GET", "/news", headers=last) as response:
        lines = response.iter_lines()
        told = [next(lines) for _ in range(6)]
    assert told == ["retry: 3000", "", "event: news", "id: 8", 'data: {"number": 8}', ""]


def test_a_view_may_yield(streams: tuple[str, int]) -> None:
    lines = [b"/count/3 %d\n" % number for number in range(3)]
    assert fetch(streams, "/count/3").body == b"".join(lines)


def test_a_generator_in_the_context_has_one(streams: tuple[str, int]) -> None:
    assert fetch(streams, "/progress?step=1&step=2").body == b"/progress 1\n/progress 2\n"


AWAY = "Clients that go away, and time limits"
TASKS = "Background tasks"


class Broker:
    """Somebody who never answers."""

    def __init__(self) -> None:
        self.journal = Journal()

    async def __call__(self) -> None:
        self.journal.note("asked")
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            self.journal.note("left")


def test_a_limit_for_one_wait(run: Run) -> None:
    shop = run(AWAY, {"timeout(2)": "timeout(0.05)"}, ask_the_broker=Broker())
    with serving(shop.asgi_app) as address:
        response = fetch(address, "/quote")
    assert (response.status, response.body) == (503, b'{"error":"the broker takes too long"}\n')


@pytest.fixture
def journal() -> Journal:
    return Journal()


def order(run: Run, journal: Journal, **names: Any) -> Shop:
    shop = run(TASKS, **names)

    @shop.app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("teardown")

    return shop


@pytest.mark.parametrize(
    ("target", "ended"),
    [("/orders", ["teardown", "sent"]), ("/returns?email=a@example.com", ["teardown", "sent", "teardown"])],
)
def test_a_task_outlives_the_request_with_a_copy_of_it_or_without(
    run: Run, journal: Journal, target: str, ended: list[str]
) -> None:
    asked = threading.Event()

    async def send_confirmation(email: str) -> None:
        while not asked.is_set():  # noqa: ASYNC110 - it is set on another thread
            await asyncio.sleep(0.005)
        journal.note("sent", email)

    with serving(FlaskToAsgi(order(run, journal, send_confirmation=send_confirmation).app)) as address:
        fields = [("Content-Type", "application/json")]
        assert fetch(address, target, "POST", fields, b'{"email": "a@example.com"}').status == 202
        until(lambda: "teardown" in journal)
        asked.set()
        until(lambda: len(journal.entries) == len(ended))
    assert journal.names == ended
    assert journal["sent"].value == "a@example.com"
