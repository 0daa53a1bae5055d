# SPDX-License-Identifier: MIT
"""What asgiref keeps in its ``Local`` objects is that of the request, on each thread that it runs on."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from asgiref.local import Local
from asgiref.sync import async_to_sync, sync_to_async

from ashapp import sse
from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch

local = Local()


def step(*args: Any) -> Any:
    local.steps = [*getattr(local, "steps", []), "sync"]
    return args[0] if args else None


async def step_async(*args: Any) -> Any:
    await asyncio.sleep(0)
    local.steps = [*getattr(local, "steps", []), "async"]
    return args[0] if args else None


async def view() -> str:
    await step_async()
    await sync_to_async(step)()
    return "hello"


def sync_view() -> str:
    step()
    async_to_sync(step_async)()
    return "hello"


@pytest.mark.parametrize("function", [view, sync_view])
async def test_all_of_a_request_sees_it_and_no_other_request_does(app: flask.Flask, function: Any) -> None:
    seen: list[list[str]] = []
    app.teardown_request(lambda _: seen.append(local.steps))
    for hook in (step, step_async, step):
        app.before_request(hook)
        app.after_request(hook)
        app.teardown_request(hook)
    app.add_url_rule("/", view_func=function)
    await asyncio.to_thread(app.test_client().get, "/")
    bridge = FlaskToAsgi(app)
    await asyncio.gather(*(fetch(bridge) for _ in range(3)))
    assert len(seen[0]) == 11
    assert seen == [seen[0]] * 4


async def test_the_thread_sees_it_behind_an_async_body(app: flask.Flask) -> None:
    seen: list[list[str]] = []

    async def body() -> Any:
        yield await step_async("body")

    @app.get("/")
    def view() -> flask.Response:
        step()
        response = flask.Response(body())
        response.call_on_close(lambda: seen.append(local.steps))
        return response

    assert (await fetch(FlaskToAsgi(app))).body == b"body"
    assert seen == [["sync", "async"]]


async def test_the_loop_sees_it_behind_a_hook_that_was_waited_for_in_vain(app: flask.Flask) -> None:
    seen: list[list[str]] = []
    entered, left = threading.Event(), threading.Event()

    async def note(_error: BaseException | None) -> None:
        seen.append(local.steps)

    @app.before_request
    def block() -> None:
        entered.set()
        left.wait(10)

    app.before_request_funcs[None].insert(0, step_async)
    app.teardown_request(note)
    app.add_url_rule("/", view_func=view)
    request = asyncio.ensure_future(fetch(FlaskToAsgi(app)))
    await asyncio.to_thread(entered.wait, 10)
    request.cancel()
    await asyncio.sleep(0.05)
    left.set()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert seen == [["async"]]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_the_thread_of_an_event_stream_sees_it(app: flask.Flask, kind: str) -> None:
    app.before_request(step)

    def events() -> Iterator[str]:
        yield f"{local.steps}"

    async def view() -> flask.Response:
        return sse(events())

    app.add_url_rule("/", "view", view if kind == "async" else lambda: sse(events()))
    assert b"['sync']" in (await fetch(FlaskToAsgi(app))).body


async def test_a_hook_that_runs_a_coroutine_takes_no_thread_from_the_view(app: flask.Flask) -> None:
    """``sync_to_async`` still leads to the thread of the request, and not to one that all requests share."""
    left: list[asyncio.Task[None]] = []

    async def outlive() -> None:
        await asyncio.sleep(0.01)
        await sync_to_async(step)()

    async def work() -> None:
        left.append(asyncio.create_task(outlive()))

    @app.before_request
    def before() -> None:
        async_to_sync(work)()
        flask.g.thread = threading.get_ident()

    @app.get("/")
    async def view() -> str:
        return f"{flask.g.thread == await sync_to_async(threading.get_ident)()}"

    assert (await fetch(FlaskToAsgi(app))).body == b"True"
    with pytest.raises(RuntimeError, match="already quit"):
        await left[0]
