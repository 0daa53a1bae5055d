# SPDX-License-Identifier: MIT
"""Hooks, error handlers, context processors: where each runs, and in which order."""

import asyncio
import json
import sys
import threading
import traceback
from functools import partial
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi, nonblocking
from tests.bridge.flask.functions import (
    HOOKS,
    Oops,
    add_handler,
    add_view,
    kinds,
    noting,
    of_kind,
    sync_and_async,
    views,
)
from tests.support.asgi import fetch
from tests.support.flask import begin
from tests.support.journal import Journal
from tests.support.waiting import until_set

pytestmark = pytest.mark.usefixtures("accelerated")

# -- where they run


@kinds
@views
@pytest.mark.parametrize("on_blueprint", [False, True])
@pytest.mark.parametrize("name", HOOKS)
async def test_a_hook(
    app: flask.Flask, journal: Journal, name: str, view_kind: str, kind: str, *, on_blueprint: bool
) -> None:
    where: Any = flask.Blueprint("part", __name__) if on_blueprint and name != "app teardown" else app
    HOOKS[name](where, noting(journal, name, kind))
    add_view(where, journal, view_kind, ZeroDivisionError if name == "handler" else None)
    if where is not app:
        app.register_blueprint(where)
    client = await fetch(FlaskToAsgi(app))
    assert (client.status, client.body) == (200, b"handled" if name == "handler" else b"hello")
    assert journal[name].on_loop == (kind == "async" or (kind == "nonblocking" and view_kind == "async"))
    assert journal["view"].on_loop == (view_kind == "async")


@sync_and_async
async def test_after_this_request(app: flask.Flask, journal: Journal, kind: str) -> None:
    @app.get("/")
    async def view() -> str:
        flask.after_this_request(noting(journal, "after this", kind))
        return "hello"

    assert (await fetch(FlaskToAsgi(app))).body == b"hello"
    assert journal["after this"].on_loop == (kind == "async")


async def test_without_sync_ones_there_is_no_thread(app: flask.Flask, journal: Journal) -> None:
    for name, register in HOOKS.items():
        register(app, noting(journal, name, "async"))
    add_view(app, journal)
    before = set(threading.enumerate())
    await fetch(FlaskToAsgi(app))
    assert set(threading.enumerate()) <= before


async def test_one_that_blocks_holds_nobody_up(app: flask.Flask) -> None:
    """Neither who comes later nor who has a request thread already: no other request gets that."""
    release, blocked, go = threading.Event(), threading.Event(), asyncio.Event()

    @app.before_request
    def before() -> None:
        if flask.request.path == "/slow":
            blocked.set()
            release.wait(20)

    app.after_request(lambda response: response)

    @app.get("/<path>")
    async def view(path: str) -> str:
        if "wait" in flask.request.args:
            await go.wait()
        return path

    bridge = FlaskToAsgi(app)
    early = [begin(bridge, target=b"/fast?wait=1") for _ in range(3)]
    await asyncio.sleep(0.05)  # each has its request thread by now, and none is busy
    request = begin(bridge, target=b"/slow")
    await until_set(blocked)
    later = await asyncio.gather(*(fetch(bridge, target=b"/fast") for _ in range(5)))
    go.set()
    assert {client.body for client in [*later, *[await pending.end() for pending in early]]} == {b"fast"}
    assert not request.task.done()
    release.set()
    assert (await request.end()).body == b"slow"


async def test_what_ensure_sync_wrapped_runs_where_it_is_called(app: flask.Flask, journal: Journal) -> None:
    @app.get("/")
    async def view() -> str:
        app.ensure_sync(partial(journal.note, "view"))()
        await asyncio.to_thread(app.ensure_sync(partial(journal.note, "thread")))
        later = app.ensure_sync(partial(journal.note, "wrapped in the view, called in a task"))

        async def task() -> None:
            app.ensure_sync(partial(journal.note, "task"))()
            later()

        await asyncio.create_task(task())
        return "hello"

    assert (await fetch(FlaskToAsgi(app))).body == b"hello"
    assert [(entry.name, entry.on_loop) for entry in journal.entries] == [
        ("view", False),
        ("thread", False),
        ("task", True),
        ("wrapped in the view, called in a task", True),
    ]


@pytest.mark.parametrize("mark", [False, True])
async def test_url_defaults(app: flask.Flask, journal: Journal, *, mark: bool) -> None:
    """Flask calls them without ``ensure_sync``, from ``url_for``."""

    def add_language(endpoint: str, values: dict[str, Any]) -> None:
        journal.note("defaults")
        values.setdefault("language", flask.g.language)

    app.url_defaults(nonblocking(add_language) if mark else add_language)

    @app.before_request
    def before() -> None:
        journal.note("before")
        flask.g.language = "de"

    @app.get("/<language>/")
    async def view(language: str) -> str:
        return flask.url_for("view")

    @app.get("/<language>/sync")
    def sync_view(language: str) -> str:
        return flask.url_for("view")

    bridge = FlaskToAsgi(app)
    assert (await fetch(bridge, target=b"/en/")).body == b"/de/"
    assert journal["defaults"].on_loop == mark
    assert mark or journal["defaults"].thread == journal["before"].thread
    journal.clear()
    assert (await fetch(bridge, target=b"/en/sync")).body == b"/de/"
    assert journal["defaults"].thread == journal["before"].thread
    with app.test_request_context():
        flask.g.language = "fr"
        assert flask.url_for("view") == "/fr/"


# -- in which order, and with what


@sync_and_async
async def test_hooks_are_called_in_the_order_of_flask(app: flask.Flask, journal: Journal, kind: str) -> None:
    for number in "12":
        for name in ["before", "after", "teardown", "app teardown"]:
            HOOKS[name](app, noting(journal, f"{name} {number}", kind))
    add_view(app, journal)
    await fetch(FlaskToAsgi(app))
    names = ["before 1", "before 2", "view", "after 2", "after 1"]
    names += ["teardown 2", "teardown 1", "app teardown 2", "app teardown 1"]
    assert journal.names == names


@sync_and_async
async def test_a_hook_may_answer(app: flask.Flask, journal: Journal, kind: str) -> None:
    app.before_request(of_kind(kind, lambda: ("not now", 503)))
    app.teardown_request(noting(journal, "teardown", kind))
    add_view(app, journal)
    client = await fetch(FlaskToAsgi(app))
    assert (client.status, client.body) == (503, b"not now")
    assert journal.names == ["teardown"]


# -- errors


@sync_and_async
@views
@pytest.mark.parametrize("raised_by", ["view", "hook"])
async def test_a_handler_gets_and_sees_what_was_raised(
    app: flask.Flask, journal: Journal, kind: str, view_kind: str, raised_by: str
) -> None:
    def fail() -> None:
        raise Oops

    add_handler(app, Oops, kind, journal)
    if raised_by == "hook":
        app.before_request(of_kind("sync" if kind == "async" else "async", fail))
    add_view(app, journal, view_kind, Oops)
    client = await fetch(FlaskToAsgi(app))
    assert (client.status, client.body) == (418, b"handled")
    assert isinstance(journal["handler"].value, Oops)
    assert journal["handled"].value is journal["handler"].value
    assert ("view" in journal) == (raised_by == "view")


@pytest.mark.parametrize(
    "error", [StopIteration, StopAsyncIteration, RuntimeError, LookupError, TimeoutError]
)
async def test_what_a_sync_hook_raises_is_not_changed(
    app: flask.Flask, journal: Journal, error: type[Exception]
) -> None:
    raised = error("hook")

    def hook() -> None:
        raise raised

    add_handler(app, error, "sync", journal)
    app.before_request(hook)
    add_view(app, journal)
    assert (await fetch(FlaskToAsgi(app))).status == 418
    assert journal["handler"].value is raised


@sync_and_async
async def test_the_traceback_leads_to_where_it_was_raised(
    app: flask.Flask, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def deep() -> None:
        raise Oops

    @app.before_request
    def hook() -> None:
        if kind == "sync":
            deep()

    @app.get("/")
    async def view() -> str:
        async def task() -> None:
            deep()

        await asyncio.create_task(task())
        return "never"

    assert (await fetch(FlaskToAsgi(app))).status == 500
    exc_info = caplog.records[0].exc_info
    assert exc_info is not None
    names = [frame.name for frame in traceback.extract_tb(exc_info[2])]
    assert names[-2:] == ["hook" if kind == "sync" else "task", "deep"]
    assert "full_dispatch_request" in names


@sync_and_async
async def test_a_handler_finds_the_traceback_as_it_was(app: flask.Flask, kind: str) -> None:
    def handle(error: Exception) -> list[str]:
        return [frame.name for frame in traceback.extract_tb(sys.exc_info()[2])]

    app.register_error_handler(Oops, of_kind(kind, handle))

    @app.get("/")
    async def view() -> str:
        raise Oops

    names = json.loads((await fetch(FlaskToAsgi(app))).body)
    assert (names[0], names[-1]) == ("full_dispatch_request", "view")
