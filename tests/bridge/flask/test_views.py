# SPDX-License-Identifier: MIT
"""Async views: on the loop, without a thread, whatever way Flask reaches them."""

import asyncio
import functools
import gc
import threading
from typing import Any

import flask
import pytest
from asgiref.sync import async_to_sync
from flask.views import MethodView, View

from ashapp.bridge import FlaskToAsgi
from tests.support.applications.decorators import ensured, forgetful
from tests.support.asgi import fetch, http_scope
from tests.support.flask import begin, until
from tests.support.journal import Journal


async def test_it_runs_in_the_task_of_the_server(app: flask.Flask) -> None:
    seen: list[Any] = []

    @app.get("/")
    async def view() -> str:
        seen.extend([threading.get_ident(), asyncio.get_running_loop()])
        await asyncio.sleep(0)
        seen.extend([threading.get_ident(), asyncio.current_task()])
        return "hello"

    request = begin(FlaskToAsgi(app))
    client = await request.end()
    assert (client.status, client.body, client.complete) == (200, b"hello", True)
    assert seen == [threading.get_ident(), asyncio.get_running_loop(), threading.get_ident(), request.task]
    assert [message["type"] for message in client.sent] == ["http.response.start", "http.response.body"]


async def drop(_: Any) -> None:
    """Send nothing."""


async def ended() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


@until("3.2", "a request of Werkzeug's development branch is in a circle, under any server", "werkzeug")
@pytest.mark.parametrize("path", ["/async", "/waits", "/sync", "/fails"])
async def test_a_request_leaves_nothing_to_the_garbage_collector(
    app: flask.Flask, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.logger, "disabled", True)
    app.register_error_handler(ZeroDivisionError, lambda error: (type(error).__name__, 500))

    @app.get("/async")
    async def on_loop() -> str:
        return "hello"

    @app.get("/waits")
    async def waits() -> str:
        await asyncio.sleep(0)
        return "hello"

    @app.get("/fails")
    async def fails() -> str:
        return str(1 / 0)

    app.add_url_rule("/sync", "sync", lambda: "hello")
    bridge = FlaskToAsgi(app)

    async def ask() -> None:
        for _ in range(100):
            await asyncio.create_task(bridge(http_scope(path=path), ended, drop))

    await ask()
    gc.collect()
    gc.disable()
    try:
        await ask()
        assert gc.collect() < 100, "other threads leave some, which are fewer than the requests"
    finally:
        gc.enable()


async def test_requests_that_come_together_go_through_in_step(app: flask.Flask) -> None:
    begun = []

    @app.get("/")
    async def view() -> str:
        begun.append([request.client.complete for request in requests])
        return "hello"

    bridge = FlaskToAsgi(app)
    requests = [begin(bridge) for _ in range(3)]
    await turns(2)
    assert begun == [[False] * 3] * 3
    await turns(1)
    assert [request.client.complete for request in requests] == [True] * 3, "and none waits for more turns"


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


# -- views that only look sync


class Methods(MethodView):
    async def get(self) -> str:
        return await where_am_i()


class Single(View):
    async def dispatch_request(self) -> Any:  # type: ignore[override]
        return await where_am_i()


class CallableObject:
    async def __call__(self) -> str:
        return await where_am_i()


async def where_am_i() -> str:
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        return f"{flask.request.path} {flask.g.user} {threading.get_ident()} {id(asyncio.get_running_loop())}"


async def returns_a_coroutine() -> Any:
    return where_am_i()


VIEWS: dict[str, Any] = {
    "plain": where_am_i,
    "decorated": ensured(where_am_i),
    "decorated twice": ensured(ensured(where_am_i)),
    "bare coroutine": forgetful(where_am_i),
    "bare coroutine, decorated": ensured(forgetful(where_am_i)),
    "decorated bare coroutine": forgetful(ensured(where_am_i)),
    "MethodView": Methods.as_view("view"),
    "View": Single.as_view("view"),
    "partial": functools.partial(where_am_i),
    "object": CallableObject(),
    "lambda": lambda: where_am_i(),  # noqa: PLW0108 - a sync function
    "returns a coroutine": returns_a_coroutine,
    "asgiref's async_to_sync": lambda: async_to_sync(where_am_i)(),  # noqa: PLW0108 - a sync function
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
async def test_its_coroutine_is_on_the_loop_of_the_server(
    app: flask.Flask, view: Any, journal: Journal
) -> None:
    app.add_url_rule("/", "view", view)

    @app.before_request
    async def before() -> None:
        flask.g.user = "me"
        journal.note("before")

    @app.after_request
    async def after(response: flask.Response) -> flask.Response:
        journal.note("after", flask.g.user)
        return response

    bridge = FlaskToAsgi(app)
    for _ in range(2):
        journal.clear()
        client = await fetch(bridge)
        assert client.body == f"/ me {threading.get_ident()} {id(asyncio.get_running_loop())}".encode()
        assert journal["before"].on_loop
        assert journal["after"].value == "me"


async def test_a_view_function_may_be_replaced_and_a_first_async_one_come_late(
    app: flask.Flask, journal: Journal
) -> None:
    """As extensions do that wrap the views when all of them are there."""

    async def view() -> str:
        journal.note("async")
        return "async"

    def sync_view() -> str:
        journal.note("sync")
        return "sync"

    app.add_url_rule("/", "view", sync_view)
    bridge = FlaskToAsgi(app)
    assert (await fetch(bridge)).body == b"sync"
    changes: list[tuple[Any, str]] = [(view, "async"), (sync_view, "sync"), (view, "async")]
    for function, name in changes:
        app.view_functions["view"] = function
        journal.clear()
        assert (await fetch(bridge)).body == name.encode()
        assert journal[name].on_loop == (name == "async")
