# SPDX-License-Identifier: MIT
"""The time that a request has: 504 when it is up, on the loop and on a thread."""

import asyncio
import functools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import Client, fetch
from tests.support.flask import begin
from tests.support.journal import Journal
from tests.support.waiting import until_set


def sync_decorator(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return flask.current_app.ensure_sync(function)(*args, **kwargs)

    return decorated


def add_teardown(app: flask.Flask, journal: Journal) -> None:
    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0.01)
        journal.note("teardown", error)


@pytest.mark.parametrize("kind", ["async", "decorated"])
async def test_a_view_that_takes_too_long_is_cancelled(app: flask.Flask, journal: Journal, kind: str) -> None:
    add_teardown(app, journal)
    ended = asyncio.Event()

    async def view() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            journal.note("cancelled")
            ended.set()
            raise
        return "never"

    app.add_url_rule("/", "view", view if kind == "async" else sync_decorator(view))

    client = await fetch(FlaskToAsgi(app, request_timeout=0.05))

    assert (client.status, client.complete) == (504, True)
    assert json.loads(client.body)["detail"] == "The application took longer than 0.05 s."
    await ended.wait()
    for _ in range(100):
        if "teardown" in journal:
            break
        await asyncio.sleep(0.01)
    assert journal.names == ["cancelled", "teardown"]


async def test_a_view_that_is_quick_is_left_alone(app: flask.Flask) -> None:
    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0.001)
        return "hello"

    bridge = FlaskToAsgi(app, request_timeout=0.05)
    assert (await fetch(bridge)).body == b"hello"
    await asyncio.sleep(0.1)


async def test_a_view_that_will_not_be_cancelled_is_answered_for(app: flask.Flask, journal: Journal) -> None:
    add_teardown(app, journal)
    end = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                journal.note("cancelled")
        return "too late"

    request = begin(FlaskToAsgi(app, request_timeout=0.05))
    await request.client.until(lambda client: len(client.sent) == 2)
    assert not request.task.done()
    end.set()
    client = await request.end()

    assert (client.status, client.complete) == (504, True)
    assert journal.names == ["cancelled", "teardown"]


@pytest.mark.parametrize("where", ["before", "teardown"])
async def test_a_hook_that_blocks_is_answered_for(app: flask.Flask, journal: Journal, where: str) -> None:
    release = threading.Event()

    def hook(error: BaseException | None = None) -> None:
        release.wait(20)
        journal.note("hook")

    if where == "before":
        app.before_request(hook)
    else:
        app.teardown_request(hook)

    @app.get("/")
    async def view() -> str:
        journal.note("view")
        return "hello"

    request = begin(FlaskToAsgi(app, request_timeout=0.05))
    await request.client.until(lambda client: len(client.sent) == 2)
    release.set()
    client = await request.end()

    assert (client.status, client.complete) == (504, True)
    assert journal.names == (["hook"] if where == "before" else ["view", "hook"])


async def test_the_time_for_hooks_counts(app: flask.Flask) -> None:
    @app.before_request
    def before() -> None:
        time.sleep(2)

    @app.get("/")
    async def view() -> str:
        await asyncio.Event().wait()
        return "never"

    started = time.monotonic()
    request = begin(FlaskToAsgi(app, request_timeout=2.5))
    await request.client.until(lambda client: client.sent)

    assert time.monotonic() - started < 4.4
    assert (await request.end()).status == 504


async def test_a_view_that_spins(app: flask.Flask) -> None:
    @app.get("/")
    async def view() -> str:
        while True:  # noqa: ASYNC110 - spins
            await asyncio.sleep(0)

    assert (await fetch(FlaskToAsgi(app, request_timeout=0.05))).status == 504


async def test_a_slow_upload(app: flask.Flask) -> None:
    @app.post("/")
    async def view() -> str:
        return str(len(flask.request.get_data()))

    headers = [(b"content-length", b"5")]
    request = begin(
        FlaskToAsgi(app, request_timeout=0.05), "POST", client=Client(b"ab", more=True), headers=headers
    )

    assert (await request.end()).status == 504


async def test_a_stream_may_take_as_long_as_it_likes(app: flask.Flask) -> None:
    @app.get("/")
    async def view() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(0.15)
        yield "b"

    client = await fetch(FlaskToAsgi(app, request_timeout=0.05))

    assert (client.status, client.body, client.complete) == (200, b"ab", True)


async def test_a_stream_that_does_not_begin_takes_too_long(app: flask.Flask, journal: Journal) -> None:
    @app.get("/")
    async def view() -> AsyncIterator[str]:
        try:
            await asyncio.Event().wait()
            yield "never"
        finally:
            journal.note("closed")

    client = await fetch(FlaskToAsgi(app, request_timeout=0.05))

    assert (client.status, client.complete) == (504, True)
    assert journal.names == ["closed"]


async def test_an_error_that_comes_of_it_is_logged_not_sent(
    app: flask.Flask, caplog: pytest.LogCaptureFixture
) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        raise ZeroDivisionError

    @app.get("/")
    async def view() -> str:
        await asyncio.Event().wait()
        return "never"

    client = await fetch(FlaskToAsgi(app, request_timeout=0.05))

    assert (client.status, client.complete) == (504, True)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


async def test_a_client_that_has_gone_is_not_answered(app: flask.Flask) -> None:
    class Gone(Client):
        async def send(self, message: Any) -> None:
            raise ConnectionResetError

    @app.get("/")
    async def view() -> str:
        await asyncio.Event().wait()
        return "never"

    await begin(FlaskToAsgi(app, request_timeout=0.05), client=Gone()).end()


async def test_a_view_on_a_thread_that_begins_too_late_is_cancelled(
    app: flask.Flask, journal: Journal
) -> None:
    """The thread finds out that its request is over when it hands the view to the loop."""
    ended = threading.Event()

    async def view() -> str:
        await asyncio.Event().wait()
        return "never"

    app.add_url_rule("/", "view", sync_decorator(view))

    @app.before_request
    def before() -> None:
        time.sleep(0.1)

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0.01)
        journal.note("teardown", error)

    @app.teardown_appcontext
    def last(error: BaseException | None) -> None:
        ended.set()

    client = await fetch(FlaskToAsgi(app, request_timeout=0.05))

    assert client.status == 504
    await until_set(ended)
    assert isinstance(journal["teardown"].value, asyncio.CancelledError)
