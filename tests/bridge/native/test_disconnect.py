# SPDX-License-Identifier: MIT
"""A client that leaves: its async view is cancelled, and torn down in peace."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import flask
import pytest

from ashapp.bridge import ClientDisconnected, FlaskToAsgi
from tests.support.asgi import Client
from tests.support.flask import Pending, begin
from tests.support.journal import Journal
from tests.support.waiting import eventually, until_set

CHUNKED = [(b"transfer-encoding", b"chunked")]


async def leave(request: Pending) -> Client:
    """Let the client go, and wait until its request has been dealt with: soon."""
    request.client.leave()
    return await asyncio.wait_for(request.end(), 3)


def sync_decorator(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return flask.current_app.ensure_sync(function)(*args, **kwargs)

    return decorated


def add_teardowns(app: flask.Flask, journal: Journal) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("sync teardown", error)

    @app.teardown_appcontext
    async def async_teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0.01)
        journal.note("async teardown", error)


@pytest.mark.parametrize("kind", ["async", "decorated"])
async def test_the_view_is_cancelled(app: flask.Flask, journal: Journal, kind: str) -> None:
    add_teardowns(app, journal)
    started = asyncio.Event()

    async def view() -> str:
        started.set()
        await journal.note_cancellation()
        return "never"

    app.add_url_rule("/", "view", view if kind == "async" else sync_decorator(view))
    request = begin(FlaskToAsgi(app))
    await started.wait()
    client = await leave(request)

    assert client.sent == []
    assert journal.names == ["cancelled", "sync teardown", "async teardown"]
    assert all(isinstance(entry.value, asyncio.CancelledError) for entry in journal.entries[1:])
    assert [entry.on_loop for entry in journal.entries] == [True, False, True]


@pytest.mark.parametrize("where", ["view", "body"])
async def test_what_a_task_group_leaves_behind_is_no_cancellation_by_the_server(
    app: flask.Flask, journal: Journal, where: str
) -> None:
    """Up to Python 3.12 a task group whose task fails leaves its own task with a count too high."""
    started = asyncio.Event()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("failed")

    async def wait() -> None:
        started.set()
        await journal.note_cancellation()

    @app.get("/")
    async def view() -> Any:
        async def body() -> AsyncIterator[str]:
            yield "first"
            await wait()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        except* ValueError:
            pass
        if where == "body":
            return body()
        await wait()
        return "never"

    request = begin(FlaskToAsgi(app))
    await started.wait()
    await leave(request)

    assert journal.names == ["cancelled"]


async def test_nobody_watches_where_the_view_does_not_wait(app: flask.Flask) -> None:
    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0.001)
        return "hello"

    request = begin(FlaskToAsgi(app))

    assert (await request.end()).asked == 0


async def test_nobody_watches_for_long(app: flask.Flask) -> None:
    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0.25)
        return "hello"

    request = begin(FlaskToAsgi(app))
    await request.end()
    before = request.client.asked
    await asyncio.sleep(0.3)

    assert request.client.asked == before
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("kind", ["async", "decorated"])
async def test_a_view_may_catch_it_and_clean_up(app: flask.Flask, journal: Journal, kind: str) -> None:
    add_teardowns(app, journal)
    started = asyncio.Event()

    async def view() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            await asyncio.create_task(asyncio.sleep(0.01))
            journal.note("cleaned up")
        return "never"

    app.add_url_rule("/", "view", view if kind == "async" else sync_decorator(view))
    request = begin(FlaskToAsgi(app))
    await started.wait()
    await leave(request)

    assert journal.names == ["cleaned up", "sync teardown", "async teardown"]


async def test_a_view_may_catch_it_and_answer_to_nobody(app: flask.Flask, journal: Journal) -> None:
    add_teardowns(app, journal)
    started = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            journal.note("cancelled")
        await asyncio.sleep(0.01)
        return "to nobody"

    request = begin(FlaskToAsgi(app))
    await started.wait()
    client = await leave(request)

    assert client.sent == []
    assert journal.names == ["cancelled", "sync teardown", "async teardown"]
    assert journal["sync teardown"].value is None


async def test_a_view_may_make_another_error_of_it(
    app: flask.Flask, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    add_teardowns(app, journal)
    started = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError from None
        return "never"

    request = begin(FlaskToAsgi(app))
    await started.wait()
    client = await leave(request)

    assert client.sent == []
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError]
    assert journal.names == ["sync teardown", "async teardown"]


async def test_it_reaches_where_the_view_waits(app: flask.Flask, journal: Journal) -> None:
    started = asyncio.Event()

    @app.get("/")
    async def view() -> str:
        async def inner() -> None:
            try:
                started.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                journal.note("cancelled")
                raise

        async with asyncio.TaskGroup() as group:
            group.create_task(inner())
            group.create_task(inner())
        return "never"

    request = begin(FlaskToAsgi(app))
    await started.wait()
    await leave(request)

    assert journal.names == ["cancelled"] * 2


async def test_a_view_that_spins(app: flask.Flask, journal: Journal) -> None:
    @app.get("/")
    async def view() -> str:
        try:
            while True:  # noqa: ASYNC110 - spins
                await asyncio.sleep(0)
        finally:
            journal.note("ended")

    request = begin(FlaskToAsgi(app))
    await asyncio.sleep(0)
    await leave(request)

    assert journal.names == ["ended"]


async def test_a_hook_that_blocks_is_waited_for_and_the_view_not_begun(
    app: flask.Flask, journal: Journal
) -> None:
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
    request.client.leave()
    await asyncio.sleep(0.3)
    assert not request.task.done()
    release.set()
    client = await asyncio.wait_for(request.end(), 3)

    assert client.sent == []
    assert journal.names == ["before", "sync teardown", "async teardown"]


async def test_an_async_hook_is_cancelled(app: flask.Flask, journal: Journal) -> None:
    add_teardowns(app, journal)

    @app.before_request
    async def before() -> None:
        await asyncio.Event().wait()

    @app.get("/")
    async def view() -> str:
        return "never"

    request = begin(FlaskToAsgi(app))
    await asyncio.sleep(0)
    await leave(request)

    assert journal.names == ["sync teardown", "async teardown"]


@pytest.mark.parametrize("read", ["get_data", "task", "thread"])
async def test_while_the_body_is_read(app: flask.Flask, journal: Journal, read: str) -> None:
    add_teardowns(app, journal)
    started = asyncio.Event()

    @app.post("/")
    async def view() -> str:
        started.set()
        try:
            if read == "get_data":
                flask.request.get_data()
            elif read == "task":
                await asyncio.create_task(asyncio.to_thread(flask.request.get_data))
            else:
                await asyncio.to_thread(flask.request.get_data)
        except ClientDisconnected:
            journal.note("disconnected")
            raise
        return "never"

    request = begin(FlaskToAsgi(app), "POST", client=Client(b"part", more=True), headers=CHUNKED)
    await started.wait()
    await asyncio.sleep(0.01)
    await leave(request)

    assert journal.names == ["disconnected", "sync teardown", "async teardown"]
    assert journal["sync teardown"].value is None


@pytest.mark.parametrize("kind", ["async", "decorated"])
async def test_while_the_body_is_read_for_long(
    app: flask.Flask, journal: Journal, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The read tells the view, though its client is watched by then; what it awaits later is cancelled."""
    monkeypatch.setattr("ashapp.bridge.request.wsgi_call._WATCH_DELAY", 0)
    add_teardowns(app, journal)

    async def view() -> str:
        try:
            flask.request.get_data()
        except ClientDisconnected:
            journal.note("disconnected")
        await journal.note_cancellation()
        return "never"

    app.add_url_rule("/", "view", view if kind == "async" else sync_decorator(view), methods=["POST"])
    request = begin(FlaskToAsgi(app), "POST", client=Client(b"part", more=True), headers=CHUNKED)
    await asyncio.sleep(0.1)
    await leave(request)

    assert journal.names == ["disconnected", "cancelled", "sync teardown", "async teardown"]


async def test_where_the_body_was_not_read(app: flask.Flask, journal: Journal) -> None:
    """The disconnect comes after the rest of a body that nobody wants."""
    add_teardowns(app, journal)
    started = asyncio.Event()

    @app.post("/")
    async def view() -> str:
        started.set()
        await asyncio.Event().wait()
        return "never"

    client = Client(*[b"x" * 1000] * 20, more=True)
    request = begin(FlaskToAsgi(app), "POST", client=client, headers=CHUNKED)
    await started.wait()
    await leave(request)

    assert journal.names == ["sync teardown", "async teardown"]


async def test_while_it_is_torn_down(app: flask.Flask, journal: Journal) -> None:
    started = asyncio.Event()

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        started.set()
        await asyncio.sleep(0.4)
        journal.note("teardown", error)

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0)
        return "hello"

    request = begin(FlaskToAsgi(app))
    await started.wait()
    client = await leave(request)

    assert journal["teardown"].value is None
    assert client.sent == []


async def test_before_it_began(app: flask.Flask, journal: Journal) -> None:
    add_teardowns(app, journal)

    @app.get("/")
    async def view() -> str:
        journal.note("view")
        await asyncio.sleep(10)
        return "never"

    client = Client()
    client.leave()
    await asyncio.wait_for(begin(FlaskToAsgi(app), client=client).end(), 3)

    assert journal.names == ["view", "sync teardown", "async teardown"]


async def test_teardown_that_fails_is_told_to_the_server(app: flask.Flask) -> None:
    started = asyncio.Event()

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        raise ZeroDivisionError

    @app.get("/")
    async def view() -> str:
        started.set()
        await asyncio.Event().wait()
        return "never"

    request = begin(FlaskToAsgi(app))
    await started.wait()

    with pytest.raises(ZeroDivisionError):
        await leave(request)


async def test_a_lane_is_free_again(app: flask.Flask) -> None:
    @app.before_request
    def before() -> None:
        pass

    @app.get("/")
    async def view() -> str:
        await asyncio.Event().wait()
        return "never"

    bridge = FlaskToAsgi(app)
    requests = [begin(bridge) for _ in range(10)]
    await asyncio.sleep(0.05)
    await asyncio.gather(*map(leave, requests))

    assert bridge.request_threads.started == 10
    await eventually(lambda: bridge.request_threads.busy == 0)


async def test_a_client_that_expects_100_continue_is_not_asked_for_its_body(app: flask.Flask) -> None:
    @app.post("/")
    async def view() -> str:
        await asyncio.sleep(0.5)
        return "no, thanks"

    headers = [(b"content-length", b"5"), (b"expect", b"100-continue")]
    request = begin(FlaskToAsgi(app), "POST", client=Client(more=True), headers=headers)
    client = await request.end()

    assert (client.body, client.asked) == (b"no, thanks", 0)
