# SPDX-License-Identifier: MIT
"""Hooks around async views: which there are, on which thread they run, and that they hold nobody up."""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi, nonblocking
from tests.support.asgi import fetch
from tests.support.flask import begin
from tests.support.journal import Journal
from tests.support.waiting import until_set

Register = Callable[[Any, Callable[..., Any]], object]


def _before(where: Any, hook: Callable[..., Any]) -> object:
    return where.before_request(hook)


def _after(where: Any, hook: Callable[..., Any]) -> object:
    return where.after_request(hook)


def _teardown(where: Any, hook: Callable[..., Any]) -> object:
    return where.teardown_request(hook)


def _app_teardown(where: Any, hook: Callable[..., Any]) -> object:
    return where.teardown_appcontext(hook)


def _context(where: Any, hook: Callable[..., Any]) -> object:
    return where.context_processor(hook)


OF_BLUEPRINTS = {"before": _before, "after": _after, "teardown": _teardown, "context": _context}
HOOKS: dict[str, Register] = {**OF_BLUEPRINTS, "app teardown": _app_teardown}


def make_hook(journal: Journal, name: str, kind: str) -> Callable[..., Any]:
    """Return a hook of any sort; it gives back what it gets: a response, or nothing."""

    def hook(given: Any = None) -> Any:
        journal.note(name)
        return {} if name == "context" else given if isinstance(given, flask.Response) else None

    async def hook_async(given: Any = None) -> Any:
        await asyncio.sleep(0)
        return hook(given)

    return hook_async if kind == "async" else nonblocking(hook) if kind == "nonblocking" else hook


def add_view(app: flask.Flask | flask.Blueprint, journal: Journal) -> None:
    @app.get("/")
    async def view() -> str:
        journal.note("view")
        await asyncio.sleep(0)
        return flask.render_template_string("hello")


@pytest.mark.parametrize("kind", ["sync", "async", "nonblocking"])
@pytest.mark.parametrize("name", HOOKS)
async def test_a_hook_of_the_application(app: flask.Flask, journal: Journal, name: str, kind: str) -> None:
    HOOKS[name](app, make_hook(journal, name, kind))
    add_view(app, journal)

    client = await fetch(FlaskToAsgi(app))

    assert (client.status, client.body) == (200, b"hello")
    assert journal[name].on_loop == (kind != "sync")
    assert journal["view"].on_loop


@pytest.mark.parametrize("kind", ["sync", "async", "nonblocking"])
@pytest.mark.parametrize("name", OF_BLUEPRINTS)
async def test_a_hook_of_a_blueprint(app: flask.Flask, journal: Journal, name: str, kind: str) -> None:
    blueprint = flask.Blueprint("part", __name__)
    OF_BLUEPRINTS[name](blueprint, make_hook(journal, name, kind))
    add_view(blueprint, journal)
    app.register_blueprint(blueprint)

    client = await fetch(FlaskToAsgi(app))

    assert client.body == b"hello"
    assert journal[name].on_loop == (kind != "sync")


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_after_this_request(app: flask.Flask, journal: Journal, kind: str) -> None:
    @app.get("/")
    async def view() -> str:
        flask.after_this_request(make_hook(journal, "after this", kind))
        return "hello"

    assert (await fetch(FlaskToAsgi(app))).body == b"hello"
    assert journal["after this"].on_loop == (kind == "async")


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_hooks_run_in_the_order_of_flask(app: flask.Flask, journal: Journal, kind: str) -> None:
    for number in "12":
        for name in ["before", "after", "teardown", "app teardown"]:
            HOOKS[name](app, make_hook(journal, f"{name} {number}", kind))
    add_view(app, journal)

    await fetch(FlaskToAsgi(app))

    names = ["before 1", "before 2", "view", "after 2", "after 1"]
    names += ["teardown 2", "teardown 1", "app teardown 2", "app teardown 1"]
    assert journal.names == names


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_hook_may_answer(app: flask.Flask, journal: Journal, kind: str) -> None:
    def hook() -> tuple[str, int]:
        return "not now", 503

    async def hook_async() -> tuple[str, int]:
        return hook()

    app.before_request(hook if kind == "sync" else hook_async)
    app.teardown_request(make_hook(journal, "teardown", kind))
    add_view(app, journal)

    client = await fetch(FlaskToAsgi(app))

    assert (client.status, client.body) == (503, b"not now")
    assert journal.names == ["teardown"]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_teardown_gets_the_error(app: flask.Flask, kind: str, journal: Journal) -> None:
    def hook(error: BaseException | None) -> None:
        journal.note("teardown", error)

    async def hook_async(error: BaseException | None) -> None:
        hook(error)

    app.teardown_request(hook if kind == "sync" else hook_async)

    @app.get("/")
    async def view() -> str:
        raise ZeroDivisionError

    assert (await fetch(FlaskToAsgi(app))).status == 500
    assert isinstance(journal["teardown"].value, ZeroDivisionError)


async def test_sync_parts_of_a_request_share_a_thread(app: flask.Flask, journal: Journal) -> None:
    for name, register in HOOKS.items():
        register(app, make_hook(journal, name, "sync"))

    @app.errorhandler(ZeroDivisionError)
    def handle(error: Exception) -> str:
        journal.note("handler")
        return flask.render_template_string("handled")

    @app.get("/")
    async def view() -> str:
        flask.after_this_request(make_hook(journal, "after this", "sync"))
        await asyncio.sleep(0.001)
        raise ZeroDivisionError

    bridge = FlaskToAsgi(app)
    clients = await asyncio.gather(*(fetch(bridge) for _ in range(8)))

    assert {client.body for client in clients} == {b"handled"}
    assert not any(entry.on_loop for entry in journal.entries)
    assert threading.get_ident() not in journal.threads
    journal.clear()
    await fetch(bridge)
    assert len(journal.entries) == len(HOOKS) + 2
    assert len(journal.threads) == 1


async def test_without_sync_parts_there_is_no_thread(app: flask.Flask, journal: Journal) -> None:
    for name, register in HOOKS.items():
        register(app, make_hook(journal, name, "async"))
    add_view(app, journal)
    before = set(threading.enumerate())

    await fetch(FlaskToAsgi(app))

    assert set(threading.enumerate()) <= before


async def test_a_hook_that_blocks_holds_nobody_up(app: flask.Flask, journal: Journal) -> None:
    release, blocked = threading.Event(), threading.Event()

    @app.before_request
    def before() -> None:
        if flask.request.path == "/slow":
            blocked.set()
            release.wait(20)

    app.after_request(make_hook(journal, "after", "sync"))

    @app.get("/fast")
    async def fast() -> str:
        await asyncio.sleep(0.001)
        return "fast"

    @app.get("/slow")
    async def slow() -> str:
        return "slow"

    bridge = FlaskToAsgi(app)
    request = begin(bridge, target=b"/slow")
    await until_set(blocked)
    clients = await asyncio.gather(*(fetch(bridge, target=b"/fast") for _ in range(5)))

    assert {client.body for client in clients} == {b"fast"}
    assert journal.names == ["after"] * 5
    assert not request.task.done()
    release.set()
    assert (await request.end()).body == b"slow"


async def test_a_request_under_way_is_not_put_behind_one_that_blocks(app: flask.Flask) -> None:
    """A request thread that has a request gets no other while there may be more request threads."""
    release, blocked, waiting = threading.Event(), threading.Event(), asyncio.Event()

    @app.before_request
    def before() -> None:
        if flask.request.path == "/slow":
            blocked.set()
            release.wait(20)

    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        return response

    @app.get("/fast")
    async def fast() -> str:
        await waiting.wait()
        return "fast"

    @app.get("/slow")
    async def slow() -> str:
        return "slow"

    bridge = FlaskToAsgi(app)
    early = [begin(bridge, target=b"/fast") for _ in range(3)]
    await asyncio.sleep(0.05)  # each has its request thread by now, and none is busy
    request = begin(bridge, target=b"/slow")
    await until_set(blocked)
    waiting.set()

    assert {(await pending.end()).body for pending in early} == {b"fast"}
    release.set()
    await request.end()


async def test_the_loop_goes_on_while_a_hook_blocks(app: flask.Flask) -> None:
    @app.before_request
    def before() -> None:
        time.sleep(0.1)

    @app.get("/")
    async def view() -> str:
        return "hello"

    request = begin(FlaskToAsgi(app))
    turns = 0
    while not request.task.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert turns > 10


async def test_what_ensure_sync_wrapped_runs_where_it_is_called(app: flask.Flask, journal: Journal) -> None:
    @app.get("/")
    async def view() -> str:
        in_view = app.ensure_sync(partial(journal.note, "view"))
        in_view()
        await asyncio.to_thread(app.ensure_sync(partial(journal.note, "thread")))

        async def task() -> None:
            app.ensure_sync(partial(journal.note, "task"))()

        await asyncio.create_task(task())
        later = app.ensure_sync(partial(journal.note, "wrapped in the view, called in a task"))

        async def other_task() -> None:
            later()

        await asyncio.create_task(other_task())
        return "hello"

    assert (await fetch(FlaskToAsgi(app))).body == b"hello"
    assert [(entry.name, entry.on_loop) for entry in journal.entries] == [
        ("view", False),
        ("thread", False),
        ("task", True),
        ("wrapped in the view, called in a task", True),
    ]
