# SPDX-License-Identifier: MIT
"""Flask applications through the bridge: where coroutines run, and in what context."""

import asyncio
import json
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import flask
import pytest
from asgiref.sync import async_to_sync, sync_to_async

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from tests.support.applications.decorators import ensured
from tests.support.asgi import fetch
from tests.support.waiting import PATIENCE, on_a_thread

mark = ContextVar("mark", default="none")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@pytest.fixture(params=[lambda view: view, ensured], ids=["on loop", "on thread"])
def placed(request: pytest.FixtureRequest) -> Decorator:
    """A decorator that makes an async view run on the loop, or be reached from a thread."""
    decorator: Decorator = request.param
    return decorator


@pytest.fixture
def app() -> flask.Flask:
    return flask.Flask(__name__, static_folder=None)


async def whereabouts() -> dict[str, Any]:
    """Tell of the loop and the thread, and of the thread that sync_to_async leads to."""
    return {
        "loop": asyncio.get_running_loop(),
        "thread": threading.get_ident(),
        "sync": await sync_to_async(threading.get_ident)(),
    }


@pytest.mark.parametrize("thing", [None, 5, "app", flask.Flask, lambda environ, start_response: []])
def test_only_a_flask_object_will_do(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a flask\.Flask object, got"):
        FlaskToAsgi(thing)


@pytest.mark.parametrize("bridge", [FlaskToAsgi, WsgiToAsgi])
def test_an_option_that_is_none_is_told(bridge: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'thread': expected one of threads, "):
        bridge(flask.Flask(__name__), thread=5)


async def coroutine_view() -> Any:
    return {"loop": id(asyncio.get_running_loop())}


async def test_a_thread_of_the_applications_own_reaches_the_same_loop(app: flask.Flask) -> None:
    found: list[dict[str, Any]] = []

    async def work() -> None:
        found.append({"mark": mark.get(), **await whereabouts()})
        mark.set("work")

    def run() -> None:
        mark.set("thread")
        app.ensure_sync(work)()
        app.async_to_sync(work)()
        async_to_sync(work)()
        found.append({"ident": threading.get_ident()})

    @app.get("/")
    def view() -> str:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(PATIENCE)
        return ""

    await fetch(FlaskToAsgi(app))
    *works, thread = found
    assert [work_found["mark"] for work_found in works] == ["thread", "work", "work"]
    for work_found in works[:2]:
        assert work_found["loop"] is asyncio.get_running_loop()
        assert work_found["sync"] == thread["ident"]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_a_coroutine_of_such_a_thread_does_not_stop_the_loop(
    app: flask.Flask, error: type[BaseException]
) -> None:
    @app.get("/")
    def view() -> str:
        return ""

    async def work() -> None:
        raise error("oops")

    await fetch(FlaskToAsgi(app))
    with pytest.raises(error, match="oops"):
        await on_a_thread(app.async_to_sync(work))


# -- one context


async def test_sync_parts_of_a_request_share_a_thread(app: flask.Flask, placed: Decorator) -> None:
    threads: list[int] = []

    def note(argument: Any = None) -> Any:
        threads.append(threading.get_ident())
        return argument

    app.before_request(note)
    app.after_request(note)
    app.teardown_request(note)
    app.teardown_appcontext(note)

    @app.get("/")
    @placed
    async def view() -> Any:
        await sync_to_async(note)()
        await asyncio.gather(*[sync_to_async(note)() for _ in range(3)])
        await sync_to_async(nested)()
        return ""

    def nested() -> None:
        note()
        app.async_to_sync(deeper)()

    async def deeper() -> None:
        assert asyncio.get_running_loop() is loop
        await sync_to_async(note)()

    loop = asyncio.get_running_loop()
    client = await fetch(FlaskToAsgi(app))
    assert client.status == 200
    assert len(threads) == 10
    assert set(threads) == {threads[0]}
    assert threads[0] != threading.get_ident()


# -- outside a request


async def whose_loop() -> int:
    return id(asyncio.get_running_loop())


def test_outside_a_request_flask_is_as_before(app: flask.Flask) -> None:
    app.add_url_rule("/", "view", coroutine_view)
    FlaskToAsgi(app)
    for _ in range(2):
        assert app.test_client().get("/").get_json()["loop"]
    with app.app_context():
        assert app.ensure_sync(whose_loop)()
        assert app.ensure_sync(len)("abc") == 3
        assert app.make_response(("text", 201)).status_code == 201


async def test_after_the_loop_has_ended_flask_is_as_before(app: flask.Flask) -> None:
    app.add_url_rule("/", "view", coroutine_view)
    bridge = FlaskToAsgi(app)

    def serve_and_end() -> None:
        asyncio.run(fetch(bridge))

    await on_a_thread(serve_and_end)
    response = await on_a_thread(lambda: app.test_client().get("/"))
    assert response.get_json()["loop"]
    assert json.loads((await fetch(bridge)).body)["loop"] == id(asyncio.get_running_loop())


async def test_on_a_running_loop_flask_refuses_as_before(app: flask.Flask) -> None:
    bridge = FlaskToAsgi(app)
    app.add_url_rule("/", "view", coroutine_view)
    await fetch(bridge)
    other = asyncio.new_event_loop()

    def run() -> None:
        async def refused() -> None:
            with pytest.raises(RuntimeError, match="You cannot use AsyncToSync in the same thread"):
                app.async_to_sync(whose_loop)()

        other.run_until_complete(refused())
        other.close()

    await on_a_thread(run)


async def test_a_test_client_inside_a_view(app: flask.Flask) -> None:
    app.add_url_rule("/inner", "inner", coroutine_view)

    @app.get("/")
    def view() -> Any:
        return app.test_client().get("/inner").get_json()

    client = await fetch(FlaskToAsgi(app))
    assert json.loads(client.body) == {"loop": id(asyncio.get_running_loop())}


async def test_what_a_subclass_overrides_is_left_alone(placed: Decorator) -> None:
    calls: list[str] = []

    class Own(flask.Flask):
        def async_to_sync(self, func: Any) -> Any:
            calls.append("async_to_sync")
            return super().async_to_sync(func)

        def ensure_sync(self, func: Any) -> Any:
            calls.append("ensure_sync")
            return super().ensure_sync(func)

    app = Own(__name__)
    app.add_url_rule("/", "view", placed(coroutine_view))
    assert json.loads((await fetch(FlaskToAsgi(app))).body) == {"loop": id(asyncio.get_running_loop())}
    assert "async_to_sync" in calls
    assert "ensure_sync" in calls


@pytest.mark.parametrize("made_before", [True, False])
async def test_a_tool_may_replace_the_class_of_applications(
    monkeypatch: pytest.MonkeyPatch, *, made_before: bool
) -> None:
    """As ``FlaskInstrumentor().instrument()`` does, after ``from flask import Flask`` or before it."""

    class Instrumented(flask.Flask):
        pass

    before = flask.Flask
    monkeypatch.setattr(flask, "Flask", Instrumented)
    app = before("shop") if made_before else flask.Flask("shop")

    @app.get("/")
    async def index() -> str:
        return threading.current_thread().name

    answer = await fetch(FlaskToAsgi(app), "GET", b"/")
    assert (answer.status, answer.body) == (200, threading.current_thread().name.encode())
