# SPDX-License-Identifier: MIT
"""Coroutines of an async view, and those that a thread reaches: the same holds in each, on the loop."""

import asyncio
import functools
import gc
import operator
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any

import flask
import pytest
from asgiref.local import Local
from asgiref.sync import async_to_sync, sync_to_async
from flask.views import MethodView

from ashapp.bridge import FlaskToAsgi, nonblocking, on_thread
from ashapp.bridge.concurrency.async_to_sync import run_coroutine, run_on_loop
from tests.support.asgi import Client, fetch
from tests.support.flask import begin
from tests.support.journal import Journal

CHUNKED = (b"transfer-encoding", b"chunked")
EXPECT = (b"expect", b"100-continue")

Coroutine = Callable[[], Any]


def add_async_view(app: flask.Flask, coroutine: Coroutine) -> None:
    @app.post("/")
    async def view() -> Any:
        return await coroutine()


def add_method_view(app: flask.Flask, coroutine: Coroutine) -> None:
    class Item(MethodView):
        async def post(self) -> Any:
            return await coroutine()

    app.add_url_rule("/", view_func=Item.as_view("item"))


def add_hook(app: flask.Flask, coroutine: Coroutine) -> None:
    @app.before_request
    async def before() -> Any:
        return await coroutine()

    app.post("/")(lambda: "never")


def add_own_bridge(app: flask.Flask, coroutine: Coroutine) -> None:
    def view() -> Any:
        return async_to_sync(coroutine)()

    app.post("/")(view)


def add_hook_of_async_view(app: flask.Flask, coroutine: Coroutine) -> None:
    """A sync hook on the request thread of an async view."""

    @app.before_request
    def before() -> Any:
        return flask.current_app.ensure_sync(coroutine)()

    @app.post("/")
    async def view() -> str:
        return "never"


def add_own_bridge_on_request_thread(app: flask.Flask, coroutine: Coroutine) -> None:
    @app.before_request
    def before() -> Any:
        return async_to_sync(coroutine)()

    @app.post("/")
    async def view() -> str:
        return "never"


ROUTES = [
    add_async_view,
    add_method_view,
    add_hook,
    add_own_bridge,
    add_hook_of_async_view,
    add_own_bridge_on_request_thread,
]


@pytest.fixture(params=ROUTES)
def add(request: pytest.FixtureRequest, app: flask.Flask) -> Callable[[Coroutine], None]:
    """A function that makes the application reach a coroutine from a thread, on POST."""
    return functools.partial(request.param, app)


Add = Callable[[Coroutine], None]


# -- the body


async def test_the_body_is_asked_for_when_it_is_read(app: flask.Flask, add: Add) -> None:
    """Not before: a server answers ``Expect: 100-continue`` when it is asked (RFC 9110, 10.1.1)."""
    asked: list[int] = []

    async def view() -> bytes:
        await asyncio.sleep(0)
        asked.append(client.asked)
        return flask.request.get_data()

    add(view)
    client = Client(b"hello")
    request = begin(FlaskToAsgi(app), "POST", client=client, headers=[CHUNKED, EXPECT])
    assert (await request.end()).body == b"hello"
    assert asked == [0]


# -- sync code within


def run_in_context(function: Callable[[], Any]) -> Any:
    return copy_context().run(function)


@pytest.mark.parametrize("run", [operator.call, run_in_context])
@pytest.mark.parametrize("kind", ["sync", "async", "nonblocking", "kept"])
async def test_a_context_processor(app: flask.Flask, add: Add, journal: Journal, kind: str, run: Any) -> None:
    """One that is sync runs on the thread that waits, so that it may block."""

    def process() -> dict[str, str]:
        journal.note("processor")
        return {"name": flask.request.path}

    async def process_async() -> dict[str, str]:
        await asyncio.sleep(0)
        return process()

    if kind == "nonblocking":
        nonblocking(process)
    if kind == "kept":
        on_thread(process_async)
    app.context_processor(process_async if kind in {"async", "kept"} else process)

    async def view() -> Any:
        journal.note("view")
        await sync_to_async(journal.note)("thread")
        return run(functools.partial(flask.render_template_string, "hello {{ name }}"))

    add(view)
    assert (await fetch(FlaskToAsgi(app), "POST")).body == b"hello /"
    assert journal["view"].on_loop
    if kind == "kept":
        assert journal["processor"].thread not in {journal["thread"].thread, journal["view"].thread}
    else:
        assert journal["processor"].thread == journal["thread" if kind == "sync" else "view"].thread


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, StopIteration, asyncio.CancelledError])
async def test_what_a_sync_context_processor_raises(
    app: flask.Flask, add: Add, error: type[BaseException]
) -> None:
    """It reaches who has called it, and neither stops the loop nor leaves the thread waiting."""

    def process() -> dict[str, str]:
        raise error("oops")

    app.context_processor(process)

    async def view() -> str:
        with pytest.raises(error, match="oops"):
            flask.render_template_string("hello")
        return "caught"

    add(view)
    assert (await fetch(FlaskToAsgi(app), "POST")).body == b"caught"


async def test_ensure_sync_gives_an_awaitable(app: flask.Flask, add: Add) -> None:
    async def inner() -> str:
        await asyncio.sleep(0)
        return flask.request.path

    async def view() -> str:
        result: str = await flask.current_app.ensure_sync(inner)()
        return result

    add(view)
    assert (await fetch(FlaskToAsgi(app), "POST")).body == b"/"


async def test_an_application_context_of_its_own(app: flask.Flask, add: Add, journal: Journal) -> None:
    """Its teardown runs where that of the request does, and is awaited where it is a coroutine."""
    app.teardown_appcontext(lambda error: journal.note("sync"))

    @app.teardown_appcontext
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        journal.note("async")

    async def view() -> str:
        with app.app_context():
            pass
        return " ".join(journal.names)

    add(view)
    assert (await fetch(FlaskToAsgi(app), "POST")).body == b"async sync"
    threads = {entry.thread for entry in journal.entries if entry.name == "sync"}
    assert threads.isdisjoint({threading.get_ident()})


# -- errors


async def test_an_error_handler_sees_what_it_raises(app: flask.Flask, add: Add) -> None:
    @app.errorhandler(KeyError)
    def handle(error: KeyError) -> tuple[str, int]:
        return f"no {error}", 418

    async def view() -> str:
        await asyncio.sleep(0)
        if flask.request.args:
            flask.abort(409)
        raise KeyError("tea")

    add(view)
    bridge = FlaskToAsgi(app)
    client = await fetch(bridge, "POST")
    assert (client.status, client.body) == (418, b"no 'tea'")
    assert (await fetch(bridge, "POST", b"/?abort=1")).status == 409


# -- contexts and loops that are not those of the call


def run_on_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(run_in_context, function).result()


@pytest.mark.parametrize("place", ["loop", "thread"])
@pytest.mark.parametrize("run", [run_in_context, run_on_thread])
async def test_it_has_the_context_of_its_caller(app: flask.Flask, run: Any, place: str) -> None:
    """Also where the caller has entered it, so that a copy has to do; and what it sets is set there."""
    mark = ContextVar("mark", default="none")
    local = Local()
    loops = []

    async def coroutine() -> str:
        loops.append(asyncio.get_running_loop())
        before = mark.get()
        await asyncio.sleep(0)
        mark.set("coroutine")
        local.mark = "local"
        return before

    def call() -> list[str]:
        mark.set("entered")
        return [
            app.ensure_sync(on_thread(coroutine) if place == "thread" else coroutine)(),
            mark.get(),
            local.mark,
        ]

    app.add_url_rule("/", "view", lambda: run(call))
    assert (await fetch(FlaskToAsgi(app))).body == b'["entered","coroutine","local"]\n'
    assert (loops[0] is asyncio.get_running_loop()) == (place == "loop")
    assert (await asyncio.to_thread(app.test_client().get, "/")).json == ["entered", "coroutine", "local"]


def test_a_thread_that_outlives_the_loop_is_told_so() -> None:
    async def view() -> None:
        raise AssertionError("there is no loop")

    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="loop is closed"):
        run_on_loop(view(), loop, None)
    assert run_coroutine(asyncio.sleep(0, "asgiref finds another")) == "asgiref finds another"
    gc.collect()  # no coroutine is left that was never awaited
