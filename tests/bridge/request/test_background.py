# SPDX-License-Identifier: MIT
"""Tasks that outlive their request, and what startup and shutdown make of them; under uvicorn."""

import asyncio
import gc
import threading
import time
import weakref

import flask

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch
from tests.support.client import Connection
from tests.support.client import fetch as fetch_over_socket
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


def test_tasks_are_waited_for_at_shutdown(app: flask.Flask, journal: Journal) -> None:
    async def work() -> None:
        await asyncio.sleep(0.1)
        journal.note("worked")

    @app.get("/")
    async def view() -> str:
        asyncio.create_task(work())  # noqa: RUF006
        return "hello"

    def on_shutdown() -> None:
        journal.note("shutdown")

    with serving(FlaskToAsgi(app, on_shutdown=[on_shutdown]), lifespan="on") as address:
        assert fetch_over_socket(address, "/").body == b"hello"

    assert journal.names == ["worked", "shutdown"]


def test_tasks_that_take_too_long_are_cancelled_at_shutdown(app: flask.Flask, journal: Journal) -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            journal.note("cancelled")
            raise

    @app.get("/")
    async def view() -> str:
        asyncio.create_task(work())  # noqa: RUF006
        return "hello"

    with serving(FlaskToAsgi(app, task_grace=0.05), lifespan="on") as address:
        fetch_over_socket(address, "/")

    assert journal.names == ["cancelled"]


def add_waiting_view(app: flask.Flask, journal: Journal, teardown_seconds: float) -> threading.Event:
    """Add a view that waits for longer than a test, and teardowns; return what is set when it waits."""
    started = threading.Event()

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(teardown_seconds)
        journal.note("async teardown", error)

    @app.teardown_request
    def sync_teardown(error: BaseException | None) -> None:
        time.sleep(teardown_seconds)
        journal.note("sync teardown", error)

    @app.get("/")
    async def view() -> str:
        started.set()
        await asyncio.sleep(60)
        return "never"

    return started


def test_shutdown_begins_when_the_requests_have_ended(app: flask.Flask, journal: Journal) -> None:
    """What a teardown uses is taken away after it: here of a request that the server did not wait for."""
    started = add_waiting_view(app, journal, teardown_seconds=0.3)

    async def on_shutdown() -> None:
        journal.note("shutdown")
        await asyncio.sleep(0.4)

    bridge = FlaskToAsgi(app, on_shutdown=[on_shutdown])
    with serving(bridge, lifespan="on", timeout_graceful_shutdown=1) as address:
        connection = Connection(address)
        connection.send_request("GET", "/")
        assert started.wait(20)

    connection.close()
    assert journal.names == ["sync teardown", "async teardown", "shutdown"]
    assert isinstance(journal["sync teardown"].value, asyncio.CancelledError)
