# SPDX-License-Identifier: MIT
"""Async views that are kept on threads: they may block, and hold up nobody."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import flask
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from flask.views import MethodView, View

from ashapp.bridge import FlaskToAsgi, on_thread
from ashapp.bridge.concurrency.threads.thread_locals import local
from ashapp.bridge.loop_or_thread.marks import ASYNC_VIEWS
from ashapp.bridge.loop_or_thread.placement import Place
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import PATIENCE, eventually, until_set

variable = ContextVar("variable", default="unset")


class Gate:
    """Blocks a thread until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE)


gate = Gate()


@pytest.fixture(autouse=True)
def _closed() -> None:
    gate.__init__()  # type: ignore[misc]


async def block() -> str:
    await asyncio.sleep(0)
    gate()
    return "done"


def index() -> str:
    return "answered"


class Blocking(View):
    async def dispatch_request(self) -> str:  # type: ignore[override]
        return await block()


class BlockingMethods(MethodView):
    async def get(self) -> str:
        return await block()


def of_dash(function: Any) -> Any:
    """Return *function* as if its code were in Dash."""
    return FunctionType(function.__code__, {**function.__globals__, "__name__": "dash.backends._flask"})


def plain_app(view: Any = block, **options: Any) -> FlaskToAsgi:
    app = flask.Flask(__name__, static_folder=None)
    app.add_url_rule("/", "view", view)
    return FlaskToAsgi(app, **options)


def with_config() -> FlaskToAsgi:
    app = flask.Flask(__name__, static_folder=None)
    app.config[ASYNC_VIEWS] = "thread"
    app.add_url_rule("/", "view", block)
    return FlaskToAsgi(app)


def with_blueprint(*, outer: bool) -> FlaskToAsgi:
    app = flask.Flask(__name__, static_folder=None)
    parent, child = flask.Blueprint("parent", __name__), flask.Blueprint("child", __name__)
    child.add_url_rule("/", "view", block)
    on_thread(parent if outer else child)
    parent.register_blueprint(child)
    app.register_blueprint(parent)
    return FlaskToAsgi(app)


def without_ensure_sync() -> Any:
    return block()


WAYS: dict[str, tuple[Callable[[], FlaskToAsgi], str]] = {
    "option": (lambda: plain_app(async_views="thread"), "ASHAPP_ASYNC_VIEWS is 'thread'"),
    "config": (with_config, "ASHAPP_ASYNC_VIEWS is 'thread'"),
    "view": (lambda: plain_app(on_thread(of_here(block))), "it is marked on_thread"),
    "blueprint": (lambda: with_blueprint(outer=False), "the blueprint 'parent.child' is marked on_thread"),
    "outer blueprint": (lambda: with_blueprint(outer=True), "the blueprint 'parent' is marked on_thread"),
    "class": (lambda: plain_app(marked_class(Blocking)), "it is marked on_thread"),
    "methods": (lambda: plain_app(marked_class(BlockingMethods)), "it is marked on_thread"),
    "Dash": (lambda: plain_app(of_dash(block)), "Dash calls sync callbacks in its async views"),
    "bare coroutine": (lambda: plain_app(on_thread(of_here(without_ensure_sync))), "sync view"),
}


def of_here(function: Any) -> Any:
    return FunctionType(function.__code__, function.__globals__)


def marked_class(view_class: type[Any]) -> Any:
    marked: type[View] = on_thread(type(view_class.__name__, (view_class,), {}))
    return marked.as_view("view")


@pytest.mark.parametrize("way", WAYS)
async def test_what_blocks_in_it_holds_up_nobody(way: str) -> None:
    make, reason = WAYS[way]
    bridge = make()
    app: Any = bridge.wsgi_application
    app.add_url_rule("/other", "other", index)
    blocked = asyncio.create_task(fetch(bridge))
    await until_set(gate.reached)  # which takes a loop that is not blocked
    assert (await fetch(bridge, target=b"/other")).body == b"answered"
    assert not blocked.done()
    gate.opened.set()
    assert (await blocked).body == b"done"
    endpoint = next(rule.endpoint for rule in app.url_map.iter_rules() if rule.rule == "/")
    assert app.extensions["ashapp"].placement.of(endpoint) == Place(False, reason, own_loop=True)  # noqa: FBT003 - as its field


async def test_an_option_counts_for_more_than_the_config() -> None:
    app = flask.Flask(__name__)
    app.config[ASYNC_VIEWS] = "thread"
    app.add_url_rule("/", "view", block)
    FlaskToAsgi(app, async_views="loop")
    assert app.extensions["ashapp"].placement.of("view").on_loop


async def test_all_coroutines_of_a_request_share_one_loop_and_one_context() -> None:
    app = flask.Flask(__name__, static_folder=None)
    loops: list[tuple[str, asyncio.AbstractEventLoop, str]] = []

    def note(name: str) -> None:
        loops.append((name, asyncio.get_running_loop(), variable.get()))

    @app.before_request
    async def before() -> None:
        note("before")
        variable.set("set")

    @app.after_request
    async def after(response: flask.Response) -> flask.Response:
        note("after")
        return response

    @app.get("/")
    @on_thread
    async def view() -> Any:
        note("view")
        async_to_sync_in = await sync_to_async(sync)()
        assert async_to_sync_in == flask.request.path == "/"

        async def items() -> AsyncIterator[str]:
            note("item")
            yield "one"

        return items()

    def sync() -> str:
        return async_to_sync(inner)()

    async def inner() -> str:
        note("inner")
        return flask.request.path

    client = await fetch(FlaskToAsgi(app))
    assert client.body == b"one"
    assert [(name, value) for name, _, value in loops] == [
        ("before", "unset"),
        ("view", "set"),
        ("inner", "set"),
        ("after", "set"),
        ("item", "set"),
    ]
    (own,) = {loop for _, loop, _ in loops}
    assert own is not asyncio.get_running_loop()
    await eventually(own.is_closed)


@pytest.mark.parametrize("mark", [on_thread, of_dash])
@pytest.mark.parametrize("sync_view", [True, False])
async def test_a_hook_is_kept_off_the_loop_by_itself(mark: Any, *, sync_view: bool) -> None:
    app = flask.Flask(__name__, static_folder=None)
    app.before_request(mark(of_here(hook)))

    def view() -> str:
        return variable.get()

    async def async_view() -> str:
        assert asyncio.get_running_loop() is server
        return variable.get()

    server = asyncio.get_running_loop()
    app.add_url_rule("/", "view", view if sync_view else async_view)
    bridge = FlaskToAsgi(app)
    request = asyncio.create_task(fetch(bridge))
    await until_set(gate.reached)
    gate.opened.set()
    assert (await request).body == b"by the hook"


async def hook() -> None:
    await block()
    variable.set("by the hook")


async def test_hooks_and_teardown_see_thread_local_values_of_their_request_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where another is the next on the same thread. The view has its own, on a thread of its own."""
    monkeypatch.setattr(threading, "local", local)
    values, seen = threading.local(), []
    app = flask.Flask(__name__, static_folder=None)

    @app.before_request
    def before() -> None:
        seen.append(vars(values).copy())
        values.user = flask.request.args["user"]

    @app.get("/")
    @on_thread
    async def view() -> str:
        assert vars(values) == {}
        values.view = "seen"
        return await sync_to_async(lambda: str(values.user))()

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        seen.append(vars(values).copy())

    bridge = FlaskToAsgi(app, threads=1)
    for user in (b"1", b"2"):
        assert (await fetch(bridge, target=b"/?user=" + user)).body == user
    assert seen == [{}, {"user": "1"}, {}, {"user": "2"}]


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_disconnect_and_the_time_being_up_cancel_it(*, leaves: bool) -> None:
    ended: list[type[BaseException] | None] = []
    begun = threading.Event()

    @on_thread
    async def view() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            ended.append(type(error))
            raise
        return "never"

    bridge = plain_app(view, request_timeout=None if leaves else 0.05)
    client = Client()
    request = asyncio.create_task(bridge(http_scope(), client.receive, client.send))
    await until_set(begun)
    if leaves:
        client.leave()
    await request
    await eventually(lambda: ended == [asyncio.CancelledError])
    assert [message.get("status") for message in client.sent[:1]] == ([] if leaves else [504])


async def test_the_end_of_the_server_waits_for_tasks_that_a_view_has_left() -> None:
    done = threading.Event()

    @on_thread
    async def view() -> str:
        async def finish() -> None:
            await asyncio.sleep(0.05)
            done.set()

        asyncio.get_running_loop().create_task(finish())
        return "accepted"

    bridge = plain_app(view, lifespan=None)
    assert (await fetch(bridge)).body == b"accepted"
    await bridge.lifespan.drain()
    assert done.is_set()


async def test_in_the_test_client_and_elsewhere_it_runs_as_flask_has_it() -> None:
    gate.opened.set()
    bridge = plain_app(on_thread(of_here(block)))
    app = bridge.wsgi_application
    response = await asyncio.to_thread(lambda: app.test_client().get("/"))
    assert response.data == b"done"


async def test_a_thread_of_an_application_whose_views_are_on_threads_does_not_use_the_servers_loop() -> None:
    bridge = plain_app(whereabouts, async_views="thread")
    app = bridge.wsgi_application
    await fetch(bridge)
    assert await asyncio.to_thread(app.async_to_sync(whereabouts)) != str(id(asyncio.get_running_loop()))


async def whereabouts() -> str:
    return str(id(asyncio.get_running_loop()))
