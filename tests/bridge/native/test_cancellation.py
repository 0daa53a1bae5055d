# SPDX-License-Identifier: MIT
"""Cancellation by the server, wherever the request is: the application is torn down in peace."""

import asyncio
import logging
import threading
from contextlib import nullcontext

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.messages.types import Message
from tests.support.asgi import fetch, http_scope, lifespan
from tests.support.flask import begin
from tests.support.journal import Journal
from tests.support.waiting import eventually, until_set


def add_teardowns(app: flask.Flask, journal: Journal) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("sync teardown", error)

    @app.teardown_request
    async def async_teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0.01)
        journal.note("async teardown", error)


TEARDOWNS = ["async teardown", "sync teardown"]


async def test_in_the_view(app: flask.Flask, journal: Journal) -> None:
    add_teardowns(app, journal)
    started = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            journal.note("cancelled", error.args)
            raise
        return "never"

    request = begin(FlaskToAsgi(app))
    await started.wait()
    request.task.cancel("message")

    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal.names == ["cancelled", *TEARDOWNS]
    assert journal["cancelled"].value == ("message",)
    assert isinstance(journal["sync teardown"].value, asyncio.CancelledError)


async def test_again_and_again(app: flask.Flask, journal: Journal) -> None:
    """As the cancel scopes of anyio do, each turn of the loop, until the task has ended."""
    add_teardowns(app, journal)
    started = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        started.set()
        await asyncio.Event().wait()
        return "never"

    request = begin(FlaskToAsgi(app))
    await started.wait()
    while not request.task.done():
        request.task.cancel()
        await asyncio.sleep(0)

    assert request.task.cancelled()
    assert journal.names == TEARDOWNS


async def test_in_an_async_teardown(app: flask.Flask, journal: Journal) -> None:
    started = asyncio.Event()

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        started.set()
        await asyncio.sleep(0.02)
        journal.note("teardown", error)

    @app.get("/")
    async def view() -> str:
        return "hello"

    request = begin(FlaskToAsgi(app))
    await started.wait()
    request.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal["teardown"].value is None


async def test_in_a_sync_teardown(app: flask.Flask, journal: Journal) -> None:
    blocked, release = threading.Event(), threading.Event()

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        blocked.set()
        release.wait(20)
        journal.note("teardown", error)

    @app.get("/")
    async def view() -> str:
        return "hello"

    request = begin(FlaskToAsgi(app))
    await until_set(blocked)
    request.task.cancel()
    await asyncio.sleep(0.01)
    assert not request.task.done()
    release.set()

    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal["teardown"].value is None


async def test_in_a_sync_hook(app: flask.Flask, journal: Journal) -> None:
    add_teardowns(app, journal)
    blocked, release = threading.Event(), threading.Event()

    @app.before_request
    def before() -> None:
        blocked.set()
        release.wait(20)
        journal.note("before")

    @app.get("/")
    async def view() -> str:
        journal.note("view")
        return "never"

    request = begin(FlaskToAsgi(app))
    await until_set(blocked)
    request.task.cancel()
    await asyncio.sleep(0.01)
    release.set()

    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal.names == ["before", *TEARDOWNS]


@pytest.mark.parametrize("where", ["before", "teardown"])
async def test_a_lane_that_is_stuck_does_not_keep_the_server(
    app: flask.Flask, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    blocked, release = threading.Event(), threading.Event()

    def stuck(error: BaseException | None = None) -> None:
        blocked.set()
        release.wait(20)

    if where == "before":
        app.before_request(stuck)
    else:
        app.teardown_request(stuck)

    @app.get("/")
    async def view() -> str:
        return "hello"

    bridge = FlaskToAsgi(app, task_grace=0.05)
    request = begin(bridge)
    await until_set(blocked)
    request.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request.end()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "GET /" in record.getMessage()
    assert "stuck" in record.getMessage()
    release.set()
    assert (await fetch(bridge)).body == b"hello"


@pytest.mark.parametrize("served", [True, False])
async def test_a_timeout_of_the_views_own_waits_for_the_lane(app: flask.Flask, *, served: bool) -> None:
    """For longer than ``task_grace``, which is for a server that stops."""
    blocked, release = threading.Event(), threading.Event()

    @app.context_processor
    def slow() -> dict[str, str]:
        blocked.set()
        release.wait(20)
        return {"name": "x"}

    @app.get("/")
    async def view() -> str:
        try:
            async with asyncio.timeout(0.05):  # noqa: ASYNC100 - the request thread is waited for
                return flask.render_template_string("{{ name }}")
        except TimeoutError:
            return "too late"

    bridge = FlaskToAsgi(app, task_grace=0.05)
    async with lifespan(bridge) if served else nullcontext():
        request = begin(bridge)
        await until_set(blocked)
        await asyncio.sleep(0.3)
        release.set()
        assert (await request.end()).body == b"too late"


async def test_before_it_began(app: flask.Flask, journal: Journal) -> None:
    @app.get("/")
    async def view() -> str:
        journal.note("view")
        return "never"

    request = begin(FlaskToAsgi(app))
    request.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal.names == []


async def test_together_with_a_disconnect(app: flask.Flask, journal: Journal) -> None:
    add_teardowns(app, journal)

    @app.get("/")
    async def view() -> str:
        await asyncio.Event().wait()
        return "never"

    request = begin(FlaskToAsgi(app))
    await request.client.until(lambda client: client.asked)
    request.client.leave()
    await asyncio.sleep(0)
    request.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal.names == TEARDOWNS


async def test_within_a_timeout_of_the_servers(app: flask.Flask, journal: Journal) -> None:
    """A cancellation of ours is not left for the server's own code to find."""

    @app.get("/")
    async def view() -> str:
        await asyncio.Event().wait()
        return "never"

    request = begin(FlaskToAsgi(app))
    client = request.client

    async def outer() -> str:
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
            client.leave()
            await request.task
        return "went on"

    assert await outer() == "went on"
    assert request.task.cancelling() == 0


@pytest.mark.parametrize("error", [SystemExit, ZeroDivisionError])
async def test_in_a_teardown_of_a_view_that_raised(
    app: flask.Flask, journal: Journal, error: type[BaseException]
) -> None:
    """Where Flask passes on what the view raised, no response has been started."""
    app.config["PROPAGATE_EXCEPTIONS"] = True
    started = asyncio.Event()

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        started.set()
        await asyncio.sleep(0.02)
        journal.note("teardown", error)

    @app.get("/")
    async def view() -> str:
        raise error

    request = begin(FlaskToAsgi(app))
    await started.wait()
    request.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert isinstance(journal["teardown"].value, error)


async def test_an_application_context_that_a_view_leaves_is_no_teardown(
    app: flask.Flask, journal: Journal
) -> None:
    add_teardowns(app, journal)
    started = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        with app.app_context():
            pass
        started.set()
        await journal.note_cancellation()
        return "never"

    request = begin(FlaskToAsgi(app))
    await started.wait()
    request.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal.names == ["cancelled", *TEARDOWNS]


@pytest.mark.parametrize("on_lane", [False, True])
async def test_while_a_complete_response_is_sent(
    app: flask.Flask, journal: Journal, *, on_lane: bool
) -> None:
    add_teardowns(app, journal)
    bridge = FlaskToAsgi(app)

    @app.get("/")
    async def view() -> flask.Response:
        response = flask.Response("x")
        if on_lane:
            response.call_on_close(lambda: journal.note("closed"))
        return response

    sending = asyncio.Event()

    async def send(_: Message) -> None:
        sending.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        raise AssertionError("nobody waits for the client here")

    task = asyncio.create_task(bridge(http_scope(), receive, send))
    await sending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert journal.names == [*TEARDOWNS, *(["closed"] if on_lane else [])]
    await eventually(lambda: bridge.request_threads.busy == 0)
