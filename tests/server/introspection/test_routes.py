# SPDX-License-Identifier: MIT
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import flask
import pytest
from flask.views import MethodView
from werkzeug.routing import Rule

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi, on_thread
from ashapp.server.assembly.placement import place_views
from ashapp.server.errors import StartupError
from ashapp.server.introspection.routes import flask_application, hindrance, list_routes
from ashapp.server.settings.loading import load

HERE = __name__
IMPLIED = ["GET", "HEAD", "OPTIONS"]


def checked(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper(**arguments: Any) -> Any:
        return view(**arguments)

    return wrapper


def index() -> str:
    return "index"


async def wait() -> str:
    return "waited"


async def stream() -> AsyncIterator[str]:
    yield "item"


class Item(MethodView):
    def get(self) -> str:
        return "item"

    async def post(self) -> str:
        return "made"


class WhiteNoise:
    """Stands for a middleware."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.application(environ, start_response)


def application(environ: Any, start_response: Any) -> list[bytes]:
    return []


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask("shop", static_folder=None)
    app.add_url_rule("/wait", view_func=wait)
    return app


DECORATOR = f"the sync decorator {HERE}.checked in front of the async view"
CLASS = "Flask calls the class-based view Item through a sync function"

#: A view, and what is told of it.
VIEWS: list[tuple[Any, str, str, list[str], str | None]] = [
    (index, "sync", "index", [], "sync view"),
    (wait, "async", "wait", [], None),
    (stream, "async generator", "stream", [], None),
    (functools.partial(wait), "async", "wait", [], None),
    (checked(wait), "decorated async", "wait", [], DECORATOR),
    (Item.as_view("item"), "class-based", "Item", ["POST"], CLASS),
]


@pytest.mark.parametrize(("view", "kind", "name", "async_methods", "reason"), VIEWS)
def test_a_view_is_told_of(
    view: Any, kind: str, name: str, async_methods: list[str], reason: str | None
) -> None:
    app = flask.Flask("shop", static_folder=None)
    app.add_url_rule("/view", "view", view, methods=["GET"])
    (route,) = list_routes(app)
    assert (route.rule, route.domain, route.methods, route.endpoint) == ("/view", None, IMPLIED, "view")
    assert (route.kind, route.view, route.async_methods) == (kind, f"{HERE}.{name}", async_methods)
    assert (route.runs_on, route.reason) == ("thread" if reason else "loop", reason)


def test_every_rule_is_listed_by_its_path(app: flask.Flask) -> None:
    shop = flask.Blueprint("shop", __name__, url_prefix="/shop", static_folder="static")
    shop.add_url_rule("/<int:item>", view_func=index, methods=["GET", "DELETE"])
    app.register_blueprint(shop)
    app.add_url_rule("/again", endpoint="wait")
    app.url_map.add(Rule("/nothing", endpoint="nothing"))
    app.url_map.add(Rule("/", endpoint="shop.index", subdomain="admin"))
    listed = list_routes(app)
    assert [(route.domain, route.rule, route.methods, route.endpoint, route.kind) for route in listed] == [
        (None, "/again", IMPLIED, "wait", "async"),
        (None, "/nothing", [], "nothing", "none"),
        (None, "/shop/<int:item>", ["DELETE", *IMPLIED], "shop.index", "sync"),
        (None, "/shop/static/<path:filename>", IMPLIED, "shop.static", "static"),
        (None, "/wait", IMPLIED, "wait", "async"),
        ("admin", "/", [], "shop.index", "sync"),
    ]
    nothing = listed[1]
    assert (nothing.view, nothing.runs_on, nothing.reason) == (None, "thread", "there is no view function")


def test_the_host_of_a_rule_is_told() -> None:
    app = flask.Flask("shop", host_matching=True, static_folder=None)
    app.add_url_rule("/", view_func=index, host="shop.example")
    assert [route.domain for route in list_routes(app)] == ["shop.example"]


MIDDLEWARE = "the WSGI middleware WhiteNoise around wsgi_app is not marked nonblocking"
WRONG_BRIDGE = "it is bridged by WsgiToAsgi, which knows nothing of views, and not by FlaskToAsgi"


def test_what_keeps_an_async_view_off_the_loop_is_told(app: flask.Flask) -> None:
    app.add_url_rule("/", view_func=index)
    reasons = {"plain": None, "bridged": None, "wrongly bridged": WRONG_BRIDGE}
    for _ in range(2):
        found = {"plain": app, "bridged": FlaskToAsgi(app), "wrongly bridged": WsgiToAsgi(app)}
        for name, each in found.items():
            assert flask_application(each) is app
            assert hindrance(each) == reasons[name]
            assert [route.reason for route in list_routes(each)] == ["sync view", reasons[name]]
        app.wsgi_app = WhiteNoise(app.wsgi_app)  # type: ignore[method-assign]
        reasons = {"plain": MIDDLEWARE, "bridged": MIDDLEWARE, "wrongly bridged": WRONG_BRIDGE}


def test_a_view_that_is_kept_on_threads_is_told_of_with_the_reason(app: flask.Flask) -> None:
    @app.get("/block")
    @on_thread
    async def block() -> str:
        return "blocked"

    places = [(route.endpoint, route.reason, route.own_loop) for route in list_routes(app)]
    assert places == [("block", "it is marked on_thread", True), ("wait", None, False)]


@pytest.mark.parametrize(
    ("config", "setting", "kept"),
    [(None, None, False), ("thread", None, True), (None, "thread", True), ("thread", "loop", False)],
)
def test_the_setting_counts_for_more_than_the_config(
    app: flask.Flask, config: str | None, setting: str | None, *, kept: bool
) -> None:
    if config is not None:
        app.config["ASHAPP_ASYNC_VIEWS"] = config
    place_views(app, load({} if setting is None else {"async_views": setting}))
    reason = "ASHAPP_ASYNC_VIEWS is 'thread'" if kept else None
    assert hindrance(app) == reason
    assert [(route.reason, route.own_loop) for route in list_routes(app)] == [(reason, kept)]


def test_a_config_that_says_something_else_is_told_in_one_line(app: flask.Flask) -> None:
    app.config["ASHAPP_ASYNC_VIEWS"] = "process"
    with pytest.raises(StartupError) as caught:
        place_views(app, load({"app": "shop:app"}))
    expected = "ASHAPP_ASYNC_VIEWS is 'process': expected 'loop' or 'thread'"
    assert caught.value.message == f"shop:app: {expected}"


@pytest.mark.parametrize("found", [application, WsgiToAsgi(application), WhiteNoise(flask.Flask("shop"))])
def test_another_wsgi_callable_has_no_routes(found: object) -> None:
    assert flask_application(found) is None
    assert hindrance(found) == "it is no Flask application"
    assert list_routes(found) == []


@pytest.mark.parametrize(("setting", "place"), [(None, "thread"), ("thread", "thread"), ("loop", "loop")])
def test_the_setting_for_static_files_counts_for_more_than_the_config(
    setting: str | None, place: str
) -> None:
    app = flask.Flask("shop", static_folder="static")
    app.config["ASHAPP_STATIC_FILES"] = "thread"
    place_views(app, load({} if setting is None else {"static_files": setting}))
    [route] = list_routes(app)
    assert (route.runs_on, route.reason) == (
        place,
        None if place == "loop" else "ASHAPP_STATIC_FILES is 'thread'",
    )
