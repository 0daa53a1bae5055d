# SPDX-License-Identifier: MIT
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.loop_or_thread.marks import nonblocking, on_thread
from ashapp.server.introspection.hooks import Hook, holders, list_hooks

HERE = __name__


def plain(*arguments: Any, **more: Any) -> Any: ...


async def wait(*arguments: Any, **more: Any) -> Any: ...


@nonblocking
def quick(*arguments: Any, **more: Any) -> Any: ...


@on_thread
async def block(*arguments: Any, **more: Any) -> Any: ...


PLACES = [
    (plain, "sync", "request_thread"),
    (wait, "async", "loop"),
    (quick, "nonblocking", "loop"),
    (block, "async", "request_thread"),
]

#: Each hook, what it is on, and the arguments with which it is registered for an application or a blueprint.
HOOKS: list[tuple[str, str | None, list[Any]]] = [
    ("before_request", None, []),
    ("after_request", None, []),
    ("teardown_request", None, []),
    ("context_processor", None, []),
    ("errorhandler", "404", [404]),
    ("errorhandler", "ValueError", [ValueError]),
]


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask("shop", static_folder=None)
    app.add_url_rule("/", view_func=wait)
    return app


@pytest.mark.parametrize(("function", "kind", "runs_on"), PLACES)
def test_a_hook_is_told_of_for_the_application_and_for_a_blueprint(
    function: Any, kind: Any, runs_on: Any
) -> None:
    for hook, on, arguments in HOOKS:
        app, orders = flask.Flask("shop", static_folder=None), flask.Blueprint("orders", __name__)
        for scaffold in (orders, app):
            register = getattr(scaffold, hook)
            (register(*arguments) if arguments else register)(function)
        app.register_blueprint(orders)
        name = f"{HERE}.{function.__name__}"
        assert list_hooks(app) == [Hook(hook, on, name, where, kind, runs_on) for where in (None, "orders")]


@pytest.mark.parametrize(
    ("hook", "function", "kind", "runs_on"),
    [
        *(("teardown_appcontext", *place) for place in PLACES),
        ("url_value_preprocessor", plain, "sync", "thread"),
        ("url_value_preprocessor", quick, "nonblocking", "loop"),
        ("url_defaults", plain, "sync", "request_thread"),
        ("url_defaults", quick, "nonblocking", "loop"),
    ],
)
def test_a_hook_of_the_application_alone_is_told_of(
    app: flask.Flask, hook: str, function: Any, kind: str, runs_on: Any
) -> None:
    getattr(app, hook)(function)
    assert list_hooks(app) == [Hook(hook, None, f"{HERE}.{function.__name__}", None, kind, runs_on)]


@pytest.fixture(params=PLACES, ids=lambda place: place[1])
def connected(request: pytest.FixtureRequest, app: flask.Flask) -> Iterator[tuple[Any, str, Any]]:
    flask.request_started.connect(request.param[0], app)
    yield request.param
    flask.request_started.disconnect(request.param[0], app)


def test_a_receiver_of_a_signal_is_told_of(app: flask.Flask, connected: tuple[Any, str, Any]) -> None:
    function, kind, runs_on = connected
    name = f"{HERE}.{function.__name__}"
    assert list_hooks(app) == [Hook("signal", "request_started", name, None, kind, runs_on)]
    assert list_hooks(flask.Flask("other")) == []


@pytest.mark.parametrize(
    ("bridge", "places"),
    [
        (FlaskToAsgi, ["request_thread", "loop", "loop"]),
        (WsgiToAsgi, ["thread", "loop", "thread"]),
    ],
)
def test_where_the_view_is_kept_off_the_loop_sync_hooks_are_too(
    app: flask.Flask, bridge: Callable[[Any], Any], places: list[str]
) -> None:
    for function in (plain, wait, quick):
        app.before_request(function)
    assert [hook.runs_on for hook in list_hooks(bridge(app))] == places


def test_what_lets_a_view_hold_a_thread_is_told(app: flask.Flask) -> None:
    """Hooks that take a thread before the view: the application's, and those of its blueprints."""
    shop, orders, other = (flask.Blueprint(name, __name__) for name in ("shop", "orders", "other"))
    for scaffold in (app, shop, orders, other):
        scaffold.before_request(named(scaffold.name))
        scaffold.before_request(wait)
        scaffold.before_request(quick)
        scaffold.after_request(plain)
        scaffold.teardown_request(plain)
        scaffold.context_processor(plain)
        scaffold.register_error_handler(404, plain)
    shop.register_blueprint(orders)
    app.register_blueprint(shop)
    app.register_blueprint(other)
    hooks = list_hooks(app)
    assert holders(hooks, "view") == ["before_request shop.of_shop"]
    assert holders(hooks, "shop.view") == ["before_request shop.of_shop", "before_request shop.of_shop"]
    assert holders(hooks, "shop.orders.view") == [
        "before_request shop.of_shop",
        "before_request shop.of_shop",
        "before_request shop.of_orders",
    ]


def named(name: str) -> Callable[[], None]:
    def hook() -> None: ...

    hook.__qualname__ = f"of_{name}"
    hook.__module__ = "shop"
    return hook


@pytest.mark.parametrize(("name", "holds"), [("request_started", True), ("request_finished", False)])
def test_a_receiver_of_a_signal_before_the_view_lets_it_hold_a_thread(name: str, *, holds: bool) -> None:
    hook = Hook("signal", name, "shop.note", None, "sync", "request_thread")
    assert holders([hook], "view") == (["request_started shop.note"] if holds else [])


def test_another_wsgi_callable_has_no_hooks() -> None:
    assert list_hooks(plain) == []
