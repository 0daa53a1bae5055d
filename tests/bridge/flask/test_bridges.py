# SPDX-License-Identifier: MIT
"""Applications inside an async view, more than one bridge, and more than one loop."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch
from tests.support.flask import begin, make_app
from tests.support.journal import Journal
from tests.support.waiting import until

variable = ContextVar("variable", default="unset")


async def coroutine_function() -> str:
    await asyncio.sleep(0)
    return flask.request.path


def hooks(app: flask.Flask, journal: Journal, name: str) -> None:
    @app.before_request
    def before() -> None:
        variable.set(name)
        journal.note(f"{name} before")

    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        journal.note(f"{name} teardown", variable.get())


async def test_one_flask_application_inside_another(app: flask.Flask, journal: Journal) -> None:
    inner = make_app()
    hooks(app, journal, "outer")
    hooks(inner, journal, "inner")

    @inner.get("/inner")
    async def inner_view() -> str:
        await asyncio.sleep(0)
        return f"{flask.request.path} {variable.get()}"

    bridge = FlaskToAsgi(inner)

    @app.get("/outer")
    async def view() -> str:
        client = await fetch(bridge, target=b"/inner")
        await asyncio.sleep(0)
        return f"{client.body.decode()} {flask.request.path} {variable.get()}"

    assert (await fetch(FlaskToAsgi(app), target=b"/outer")).body == b"/inner inner /outer outer"
    assert journal.names == ["outer before", "inner before", "inner teardown", "outer teardown"]
    assert [entry.value for entry in journal.entries if entry.value] == ["inner", "outer"]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_sync_view_inside_an_async_one(app: flask.Flask, kind: str) -> None:
    bridge = FlaskToAsgi(app)

    @app.get("/inner")
    def inner() -> str:
        return "inner"

    @app.get("/outer")
    async def outer() -> str:
        task = fetch(bridge, target=b"/inner")
        client = await (asyncio.create_task(task) if kind == "async" else task)
        return f"{client.body.decode()} {flask.request.path}"

    assert (await fetch(bridge, target=b"/outer")).body == b"inner /outer"


# -- more than one bridge


@pytest.mark.parametrize("served", [0, 1])
async def test_one_of_two_bridges_is_served(app: flask.Flask, served: int) -> None:
    """What a view hands to a task, or to a thread of its own, reaches the loop that serves it."""

    @app.get("/")
    async def view() -> list[str]:
        call: Callable[[], Any] = app.ensure_sync(coroutine_function)
        copied: Any = flask.copy_current_request_context(coroutine_function)
        return [await asyncio.create_task(copied()), await asyncio.to_thread(call), await call()]

    bridges = [FlaskToAsgi(app), FlaskToAsgi(app)]
    assert (await fetch(bridges[served])).body == b'["/","/","/"]\n'


async def test_two_bridges_on_two_loops_at_once(app: flask.Flask) -> None:
    @app.get("/")
    async def view() -> str:
        copied: Any = flask.copy_current_request_context(coroutine_function)
        await asyncio.create_task(copied())
        path: str = await asyncio.create_task(app.ensure_sync(coroutine_function)())
        return path

    bridges = [FlaskToAsgi(app), FlaskToAsgi(app)]
    assert (await fetch(bridges[0])).body == b"/"
    assert (await asyncio.to_thread(asyncio.run, fetch(bridges[1]))).body == b"/"
    assert (await fetch(bridges[0])).body == b"/"


def test_one_bridge_on_one_loop_after_the_other(app: flask.Flask, journal: Journal) -> None:
    hooks(app, journal, "hook")

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0)
        return str(id(asyncio.get_running_loop()))

    @app.get("/sync")
    def sync_view() -> str:
        async def inner() -> str:
            return str(id(asyncio.get_running_loop()))

        result: str = app.ensure_sync(inner)()
        return result

    bridge = FlaskToAsgi(app)

    async def run(call: Callable[..., Any]) -> None:
        for target in [b"/", b"/sync"]:
            client = await call(bridge, target=target)
            assert client.body == str(id(asyncio.get_running_loop())).encode()

    for _ in range(3):
        asyncio.run(run(fetch))
        until(lambda: bridge.request_threads.busy == 0)
    assert bridge.request_threads.started == 1


def test_a_request_that_its_loop_left_behind_harms_no_other(app: flask.Flask) -> None:
    blocked, release = threading.Event(), threading.Event()

    @app.before_request
    def before() -> None:
        if "block" in flask.request.args:
            blocked.set()
            release.wait(20)

    @app.get("/")
    async def view() -> str:
        if "wait" in flask.request.args:
            await asyncio.Event().wait()
        return "hello"

    bridge = FlaskToAsgi(app)
    left: list[Any] = []

    async def leave() -> None:
        left.extend([begin(bridge, target=b"/?wait=1"), begin(bridge, target=b"/?block=1")])
        await asyncio.sleep(0.05)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    assert blocked.is_set()
    release.set()

    async def run() -> list[bytes]:
        return [(await fetch(bridge)).body for _ in range(10)]

    assert asyncio.run(run()) == [b"hello"] * 10
    for pending in left:
        pending.task._log_destroy_pending = False
