# SPDX-License-Identifier: MIT
"""Async views: on the loop, without a thread, whatever way Flask reaches them."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import flask
import pytest
from flask.views import MethodView, View

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch
from tests.support.flask import begin
from tests.support.journal import Journal


async def test_it_runs_on_the_thread_of_the_loop(app: flask.Flask) -> None:
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


async def test_many_requests_wait_without_a_thread(app: flask.Flask) -> None:
    waiting, go = 0, asyncio.Event()

    @app.get("/")
    async def view() -> str:
        nonlocal waiting
        waiting += 1
        await go.wait()
        return "hello"

    bridge = FlaskToAsgi(app)
    before = set(threading.enumerate())
    requests = [begin(bridge) for _ in range(500)]
    await turns(2)
    assert waiting == 500
    assert set(threading.enumerate()) <= before

    go.set()
    assert {(await request.end()).body for request in requests} == {b"hello"}
    assert set(threading.enumerate()) <= before


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


async def test_what_it_leaves_on_the_loop_serves_later_requests(app: flask.Flask) -> None:
    @app.get("/")
    async def view() -> str:
        queue = app.extensions.setdefault("queue", asyncio.Queue())
        if flask.request.args.get("put"):
            await queue.put("item")
            return "put"
        return str(await queue.get())

    bridge = FlaskToAsgi(app)
    getting = [begin(bridge) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.gather(*(fetch(bridge, target=b"/?put=1") for _ in range(3)))

    assert {(await request.end()).body for request in getting} == {b"item"}


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        ("text", 200, b"text"),
        (b"bytes", 200, b"bytes"),
        ({"a": 1}, 200, b'{"a":1}\n'),
        ([1, 2], 200, b"[1,2]\n"),
        (("text", 201), 201, b"text"),
        (("text", 202, {"X-Header": "1"}), 202, b"text"),
        (flask.Response("text", 203), 203, b"text"),
        ("", 200, b""),
    ],
    ids=str,
)
async def test_what_flask_takes(app: flask.Flask, result: Any, status: int, body: bytes) -> None:
    @app.get("/")
    async def view() -> Any:
        await asyncio.sleep(0)
        return result

    client = await fetch(FlaskToAsgi(app))

    assert (client.status, client.body, client.complete) == (status, body, True)


async def test_view_arguments(app: flask.Flask) -> None:
    @app.get("/<int:number>/<path:rest>")
    async def view(number: int, rest: str) -> dict[str, Any]:
        return {"number": number, "rest": rest, "args": flask.request.args}

    client = await fetch(FlaskToAsgi(app), target=b"/7/a/b?c=d")

    assert client.body == b'{"args":{"c":"d"},"number":7,"rest":"a/b"}\n'


# -- views that only look sync


def sync_decorator(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as extensions write it that know of async views."""

    @functools.wraps(function)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return flask.current_app.ensure_sync(function)(*args, **kwargs)

    return decorated


def forgetful_decorator(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as extensions write it that are older than async views: returns a bare coroutine."""

    @functools.wraps(function)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return decorated


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
    await asyncio.sleep(0)
    return f"{threading.get_ident()} {id(asyncio.get_running_loop())}"


async def view_with_context_manager() -> str:
    async with asyncio.timeout(5):
        return await where_am_i()


async def view_that_returns_a_coroutine() -> Any:
    return where_am_i()


VIEWS: dict[str, Any] = {
    "plain": where_am_i,
    "decorated": sync_decorator(where_am_i),
    "decorated twice": sync_decorator(sync_decorator(where_am_i)),
    "bare coroutine": forgetful_decorator(where_am_i),
    "bare coroutine, decorated": sync_decorator(forgetful_decorator(where_am_i)),
    "decorated bare coroutine": forgetful_decorator(sync_decorator(where_am_i)),
    "MethodView": Methods.as_view("view"),
    "View": Single.as_view("view"),
    "partial": functools.partial(where_am_i),
    "object": CallableObject(),
    "lambda": lambda: where_am_i(),  # noqa: PLW0108 - a sync function
    "timeout": view_with_context_manager,
    "returns a coroutine": view_that_returns_a_coroutine,
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
async def test_its_coroutine_is_on_the_loop_of_the_server(app: flask.Flask, view: Any) -> None:
    app.add_url_rule("/", "view", view)

    client = await fetch(FlaskToAsgi(app))

    assert client.body == f"{threading.get_ident()} {id(asyncio.get_running_loop())}".encode()


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
async def test_its_coroutine_may_use_the_request(app: flask.Flask, view: Any, journal: Journal) -> None:
    app.add_url_rule("/", "view", view)

    @app.before_request
    async def before() -> None:
        flask.g.user = "me"
        journal.note("before")

    @app.after_request
    async def after(response: flask.Response) -> flask.Response:
        journal.note("after", (flask.request.path, flask.g.user))
        return response

    assert (await fetch(FlaskToAsgi(app))).status == 200
    assert journal["before"].on_loop
    assert journal["after"].value == ("/", "me")


@pytest.mark.parametrize("name", ["before", "after", "teardown", "context", "handler"])
async def test_async_hooks_of_a_sync_view_are_on_the_loop_of_the_server(
    app: flask.Flask, journal: Journal, name: str
) -> None:
    async def hook(given: Any = None) -> Any:
        await asyncio.sleep(0)
        journal.note(name, asyncio.get_running_loop())
        if name == "handler":
            return "handled"
        return given if name == "after" else {} if name == "context" else None

    register = {
        "before": app.before_request,
        "after": app.after_request,
        "teardown": app.teardown_request,
        "context": app.context_processor,
        "handler": app.errorhandler(ZeroDivisionError),
    }
    register[name](hook)

    @app.get("/")
    def view() -> str:
        journal.note("view")
        if name == "handler":
            raise ZeroDivisionError
        return flask.render_template_string("hello")

    client = await fetch(FlaskToAsgi(app))

    assert client.body == (b"handled" if name == "handler" else b"hello")
    assert not journal["view"].on_loop
    assert journal[name].value is asyncio.get_running_loop()


async def test_a_view_function_may_be_replaced(app: flask.Flask, journal: Journal) -> None:
    """As extensions do that wrap the views when all of them are there."""

    async def view() -> str:
        journal.note("view")
        return "hello"

    app.add_url_rule("/", "view", view)
    bridge = FlaskToAsgi(app)
    await fetch(bridge)

    def replacement() -> str:
        journal.note("replacement")
        return "replaced"

    app.view_functions["view"] = replacement

    assert (await fetch(bridge)).body == b"replaced"
    assert not journal["replacement"].on_loop
    app.view_functions["view"] = view
    journal.clear()
    assert (await fetch(bridge)).body == b"hello"
    assert journal["view"].on_loop


async def test_an_async_view_may_come_after_the_first_request(app: flask.Flask, journal: Journal) -> None:
    app.add_url_rule("/", "view", lambda: "sync")
    bridge = FlaskToAsgi(app)
    assert (await fetch(bridge)).body == b"sync"

    async def view() -> str:
        journal.note("view")
        return "async"

    app.view_functions["view"] = view

    assert (await fetch(bridge)).body == b"async"
    assert journal["view"].on_loop


async def test_yield_in_an_async_view(app: flask.Flask, journal: Journal) -> None:
    @app.get("/")
    async def view() -> AsyncIterator[str]:
        journal.note("view")
        yield "a"
        await asyncio.sleep(0)
        yield "b"

    client = await fetch(FlaskToAsgi(app))

    assert (client.status, client.body, client.complete) == (200, b"ab", True)
    assert journal["view"].on_loop
