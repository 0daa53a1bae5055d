# SPDX-License-Identifier: MIT
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import flask
import pytest
from flask.views import MethodView
from werkzeug.routing import Rule

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi, on_thread
from ashapp.server.assembly.discovery import place_async_views
from ashapp.server.errors import StartupError
from ashapp.server.inspection.routes import (
    Route,
    flask_application,
    hindrance,
    list_routes,
)
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


@pytest.mark.parametrize(
    ("view", "kind", "name", "async_methods", "reason"),
    [
        (index, "sync", f"{HERE}.index", [], "sync view"),
        (wait, "async", f"{HERE}.wait", [], None),
        (stream, "async generator", f"{HERE}.stream", [], None),
        (functools.partial(wait), "async", f"{HERE}.wait", [], None),
        (
            checked(wait),
            "decorated async",
            f"{HERE}.wait",
            [],
            f"the sync decorator {HERE}.checked in front of the async view",
        ),
        (
            Item.as_view("item"),
            "class-based",
            f"{HERE}.Item",
            ["POST"],
            "Flask calls the class-based view Item through a sync function",
        ),
    ],
)
def test_a_view_is_told_of(
    view: Any, kind: str, name: str, async_methods: list[str], reason: str | None
) -> None:
    app = flask.Flask("shop", static_folder=None)
    app.add_url_rule("/view", "view", view, methods=["GET"])
    assert list_routes(app) == [
        Route(
            rule="/view",
            domain=None,
            methods=IMPLIED,
            endpoint="view",
            view=name,
            kind=kind,  # type: ignore[arg-type]
            async_methods=async_methods,
            runs_on="thread" if reason else "loop",
            reason=reason,
        )
    ]


def test_every_rule_is_listed_by_its_path(app: flask.Flask) -> None:
    shop = flask.Blueprint("shop", __name__, url_prefix="/shop", static_folder="static")
    shop.add_url_rule("/<int:item>", view_func=index, methods=["GET", "DELETE"])
    app.register_blueprint(shop)
    app.add_url_rule("/again", endpoint="wait")
    app.url_map.add(Rule("/nothing", endpoint="nothing"))
    app.url_map.add(Rule("/", endpoint="shop.index", subdomain="admin"))
    listed = [
        (route.domain, route.rule, route.methods, route.endpoint, route.kind) for route in list_routes(app)
    ]
    assert listed == [
        (None, "/again", IMPLIED, "wait", "async"),
        (None, "/nothing", [], "nothing", "none"),
        (None, "/shop/<int:item>", ["DELETE", *IMPLIED], "shop.index", "sync"),
        (None, "/shop/static/<path:filename>", IMPLIED, "shop.static", "static"),
        (None, "/wait", IMPLIED, "wait", "async"),
        ("admin", "/", [], "shop.index", "sync"),
    ]


def test_an_endpoint_without_a_view_has_none(app: flask.Flask) -> None:
    app.url_map.add(Rule("/nothing", endpoint="nothing"))
    route = list_routes(app)[0]
    assert (route.view, route.runs_on, route.reason) == (None, "thread", "there is no view function")


def test_the_host_of_a_rule_is_told() -> None:
    app = flask.Flask("shop", host_matching=True, static_folder=None)
    app.add_url_rule("/", view_func=index, host="shop.example")
    assert [route.domain for route in list_routes(app)] == ["shop.example"]


MIDDLEWARE = "the WSGI middleware WhiteNoise around wsgi_app is not marked nonblocking"
WRONG_BRIDGE = "it is bridged by WsgiToAsgi, which knows nothing of views, and not by FlaskToAsgi"


@pytest.mark.parametrize(
    ("bridge", "middleware", "reason"),
    [
        (None, False, None),
        (None, True, MIDDLEWARE),
        (FlaskToAsgi, False, None),
        (FlaskToAsgi, True, MIDDLEWARE),
        (WsgiToAsgi, False, WRONG_BRIDGE),
        (WsgiToAsgi, True, WRONG_BRIDGE),
    ],
)
def test_what_keeps_an_async_view_off_the_loop_is_told(
    app: flask.Flask, bridge: Callable[[Any], Any] | None, reason: str | None, *, middleware: bool
) -> None:
    app.add_url_rule("/", view_func=index)
    if middleware:
        app.wsgi_app = WhiteNoise(app.wsgi_app)  # type: ignore[method-assign]
    found = bridge(app) if bridge else app
    assert flask_application(found) is app
    assert hindrance(found) == reason
    assert [route.reason for route in list_routes(found)] == ["sync view", reason]


def test_a_view_that_is_kept_on_threads_is_told_of_with_the_reason(app: flask.Flask) -> None:
    @app.get("/block")
    @on_thread
    async def block() -> str:
        return "blocked"

    places = [(route.endpoint, route.reason, route.own_loop) for route in list_routes(app)]
    assert places == [("block", "it is marked on_thread", True), ("wait", None, False)]


@pytest.mark.parametrize(
    ("config", "setting", "kept"),
    [
        (None, None, False),
        ("thread", None, True),
        (None, "thread", True),
        ("thread", "loop", False),
    ],
)
def test_the_setting_counts_for_more_than_the_config(
    app: flask.Flask, config: str | None, setting: str | None, *, kept: bool
) -> None:
    if config is not None:
        app.config["ASHAPP_ASYNC_VIEWS"] = config
    place_async_views(app, load({} if setting is None else {"async_views": setting}))
    reason = "ASHAPP_ASYNC_VIEWS is 'thread'" if kept else None
    assert hindrance(app) == reason
    assert [(route.reason, route.own_loop) for route in list_routes(app)] == [(reason, kept)]


def test_a_config_that_says_something_else_is_told_in_one_line(app: flask.Flask) -> None:
    app.config["ASHAPP_ASYNC_VIEWS"] = "process"
    with pytest.raises(StartupError) as caught:
        place_async_views(app, load({"app": "shop:app"}))
    expected = "ASHAPP_ASYNC_VIEWS is 'process': async views run on the 'loop' or on a 'thread'"
    assert caught.value.message == f"shop:app: {expected}"


@pytest.mark.parametrize("found", [application, WsgiToAsgi(application), WhiteNoise(flask.Flask("shop"))])
def test_another_wsgi_callable_has_no_routes(found: object) -> None:
    assert flask_application(found) is None
    assert hindrance(found) == "it is no Flask application"
    assert list_routes(found) == []
