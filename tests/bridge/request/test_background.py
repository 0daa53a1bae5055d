# SPDX-License-Identifier: MIT
"""Tasks that outlive their request, and what startup and shutdown make of them."""

import asyncio
import gc
import threading
import time
import weakref

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch, lifespan
from tests.support.client import Connection
from tests.support.journal import Journal
from tests.support.server import serving


async def test_a_task_that_nobody_keeps_is_kept(app: flask.Flask, journal: Journal) -> None:
    waiting: list[weakref.ref[asyncio.Future[None]]] = []

    async def work() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(weakref.ref(future))
        await future
        journal.note("worked")

    @app.get("/")
    async def view() -> str:
        asyncio.create_task(work())  # noqa: RUF006
        return "hello"

    await fetch(FlaskToAsgi(app))
    await asyncio.sleep(0)
    gc.collect()
    future = waiting[0]()
    assert future is not None
    future.set_result(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert journal.names == ["worked"]


@pytest.mark.parametrize(("seconds", "happened"), [(0.02, "worked"), (60, "cancelled")])
async def test_tasks_have_some_time_at_shutdown(
    app: flask.Flask, journal: Journal, seconds: float, happened: str
) -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(seconds)
            journal.note("worked")
        except asyncio.CancelledError:
            journal.note("cancelled")
            raise

    @app.get("/")
    async def view() -> str:
        asyncio.create_task(work())  # noqa: RUF006
        return "hello"

    grace = 0.05 if happened == "cancelled" else 20
    bridge = FlaskToAsgi(app, task_grace=grace, on_shutdown=[lambda: journal.note("shutdown")])
    async with lifespan(bridge):
        assert (await fetch(bridge)).body == b"hello"
    assert journal.names == [happened, "shutdown"]


def test_shutdown_begins_when_the_requests_have_ended(app: flask.Flask, journal: Journal) -> None:
    """What a teardown uses is taken away after it: here of a request that the server did not wait for."""
    started = threading.Event()

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0.3)
        journal.note("async teardown", error)

    @app.teardown_request
    def sync_teardown(error: BaseException | None) -> None:
        time.sleep(0.3)
        journal.note("sync teardown", error)

    @app.get("/")
    async def view() -> str:
        started.set()
        await asyncio.sleep(60)
        return "never"

    bridge = FlaskToAsgi(app, on_shutdown=[lambda: journal.note("shutdown")])
    with serving(bridge, lifespan="on", timeout_graceful_shutdown=1) as address:
        connection = Connection(address)
        connection.send_request("GET", "/")
        assert started.wait(20)
    connection.close()
    assert journal.names == ["sync teardown", "async teardown", "shutdown"]
    assert isinstance(journal["sync teardown"].value, asyncio.CancelledError)
