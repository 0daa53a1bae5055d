# SPDX-License-Identifier: MIT
"""Clients that leave at odd times, and what the time of a request is for."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import flask
import pytest

from ashapp.bridge import ClientDisconnected, FlaskToAsgi
from tests.bridge.request.endings.service import (
    CHUNKED,
    TORN_DOWN,
    Service,
    bring_about,
    in_each_place,
    wait,
)
from tests.support.asgi import Client, fetch
from tests.support.flask import begin
from tests.support.journal import Journal
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("impatient")

# -- a client that leaves


@pytest.mark.parametrize("delay", [0.01, 10])
async def test_a_client_is_watched_only_while_it_waits(
    service: Service, delay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ashapp.bridge.request.wsgi_call._WATCH_DELAY", delay)

    async def view() -> str:
        await asyncio.sleep(0.05)
        return "hello"

    service.add_view(view)
    client = await service.begin().end()
    asked = client.asked
    assert (asked > 0) == (delay < 1)
    await asyncio.sleep(0.05)
    assert client.asked == asked
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_client_that_has_left_before(service: Service, journal: Journal) -> None:
    service.add_view(wait, teardowns=True)
    client = Client()
    client.leave()
    await begin(FlaskToAsgi(service.app), client=client).end()
    assert service.started.is_set()
    assert journal.names == TORN_DOWN


async def test_a_body_closes_in_peace_for_a_client_that_has_left_before_it_began(
    app: flask.Flask, journal: Journal
) -> None:
    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"first"
        finally:
            await asyncio.sleep(0.001)
            journal.note("closed")

    @app.post("/")
    async def view() -> flask.Response:
        with suppress(ClientDisconnected):
            flask.request.get_data()
        return flask.Response(body())  # type: ignore[arg-type]

    client = Client(b"part", more=True)
    client.leave()
    await begin(FlaskToAsgi(app), "POST", client=client, headers=CHUNKED).end()
    assert journal.names == ["closed"]


@in_each_place
async def test_a_client_that_leaves_while_its_body_is_read_for_long(
    service: Service, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read tells the view, though its client is watched by then; what it awaits later is cancelled."""
    monkeypatch.setattr("ashapp.bridge.request.wsgi_call._WATCH_DELAY", 0)

    async def view() -> None:
        with suppress(ClientDisconnected):
            flask.request.get_data()
        await journal.note_cancellation()

    service.add_view(view, teardowns=True)
    client = Client(b"part", more=True)
    request = begin(FlaskToAsgi(service.app), "POST", client=client, headers=CHUNKED)
    await service.started.wait()
    await asyncio.sleep(0.1)
    client.leave()
    await request.end()
    assert journal.names == ["cancelled", *TORN_DOWN]


# -- the time that a request has


async def test_a_view_that_will_not_be_cancelled_is_answered_for(service: Service, journal: Journal) -> None:
    end = asyncio.Event()

    async def view() -> str:
        while not end.is_set():
            with suppress(asyncio.CancelledError):
                await end.wait()
        return "too late"

    service.add_view(view, teardowns=True)
    request = service.begin("time-out")
    await bring_about(request, "time-out")
    assert not request.task.done()
    end.set()
    client = await request.end()
    assert (client.status, client.complete) == (504, True)
    assert journal.names == TORN_DOWN


async def test_the_time_for_an_upload_counts(service: Service) -> None:
    async def view() -> str:
        return str(len(flask.request.get_data()))

    service.add_view(view)
    bridge = FlaskToAsgi(service.app, request_timeout=0.05)
    headers = [(b"content-length", b"5")]
    request = begin(bridge, "POST", client=Client(b"ab", more=True), headers=headers)
    assert (await request.end()).status == 504


@in_each_place
@pytest.mark.parametrize("begins", [True, False])
async def test_the_time_is_for_a_stream_to_begin(service: Service, journal: Journal, *, begins: bool) -> None:
    async def body() -> AsyncIterator[str]:
        journal.note("begun")
        try:
            if begins:
                yield "a"
            await asyncio.sleep(0.5)
            yield "b"
        finally:
            journal.note("closed")

    async def view() -> Any:
        return body()

    service.add_view(view)
    client = await fetch(FlaskToAsgi(service.app, request_timeout=0.3))
    assert (client.status, client.complete) == (200 if begins else 504, True)
    assert client.body == b"ab" or not begins
    await eventually(lambda: journal.names in ([], ["begun", "closed"]))


async def test_a_client_that_has_gone_is_not_told_that_its_time_is_up(service: Service) -> None:
    class Gone(Client):
        async def send(self, message: Any) -> None:
            raise ConnectionResetError

    service.add_view(wait)
    await begin(FlaskToAsgi(service.app, request_timeout=0.05), client=Gone()).end()


@pytest.mark.parametrize("path", ["/async", "/sync"])
async def test_no_timer_keeps_a_request_that_has_ended(app: flask.Flask, path: str) -> None:
    class Token: ...

    @app.get("/async")
    async def view() -> str:
        await asyncio.sleep(0.01)
        return "hello"

    app.add_url_rule("/sync", "sync", lambda: "hello")
    bridge = FlaskToAsgi(app, request_timeout=600)

    async def ask() -> weakref.ref[Token]:
        token = Token()
        await fetch(bridge, "GET", path.encode(), token=token)
        return weakref.ref(token)

    token = await asyncio.create_task(ask())
    await asyncio.sleep(0)
    gc.collect()
    assert token() is None
