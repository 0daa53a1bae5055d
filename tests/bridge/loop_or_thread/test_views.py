# SPDX-License-Identifier: MIT
"""Of which kind a view is, and where it runs for that."""

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import flask
import pytest
from flask.views import MethodView, View

from ashapp.bridge.loop_or_thread.placement import Place, Placement
from ashapp.bridge.loop_or_thread.views import (
    ViewKind,
    async_methods,
    full_name_of,
    is_async,
    kind_of,
    name_of,
    sync_decorators,
)

HERE = __name__


def checked(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper(**arguments: Any) -> Any:
        return view(**arguments)

    return wrapper


def limited(rate: int) -> Callable[..., Any]:
    def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def inner(**arguments: Any) -> Any:
            return view(**arguments)

        return inner

    return decorator


def timed(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    async def wrapper(**arguments: Any) -> Any:
        return view(**arguments)

    return wrapper


class Recorder:
    """A decorator that is a class."""

    def __init__(self, view: Callable[..., Any]) -> None:
        functools.update_wrapper(self, view)

    def __call__(self) -> None: ...


def index() -> Any: ...


def stand_in() -> None: ...


async def wait() -> Any: ...


async def stream() -> AsyncIterator[str]:
    yield "item"


class Worker:
    async def __call__(self) -> None: ...

    async def work(self) -> None: ...


class Item(MethodView):
    def put(self) -> None: ...

    async def get(self) -> None: ...

    @checked
    async def delete(self) -> None: ...


class Plain(MethodView):
    def get(self) -> None: ...


class Page(View):
    methods = ("GET",)

    async def dispatch_request(self) -> str:  # type: ignore[override]  # Flask takes it, its types do not
        return ""


class Both(MethodView):
    async def get(self) -> None: ...

    async def dispatch_request(self) -> str:  # type: ignore[override]  # Flask takes it, its types do not
        return ""


class Circular:
    """A wrapper that leads back to itself."""

    def __call__(self) -> str:
        return ""

    @property
    def __wrapped__(self) -> Any:
        return self


def static_view(app: flask.Flask, endpoint: str) -> Any:
    app.register_blueprint(flask.Blueprint("shop", __name__, static_folder="static", url_prefix="/shop"))
    return app.view_functions[endpoint]


@pytest.mark.parametrize(
    ("view", "kind"),
    [
        (None, ViewKind.NONE),
        (index, ViewKind.SYNC),
        (checked(index), ViewKind.SYNC),
        (wait, ViewKind.ASYNC),
        (functools.partial(wait), ViewKind.ASYNC),
        (Worker().work, ViewKind.ASYNC),
        (timed(index), ViewKind.ASYNC),
        (stream, ViewKind.ASYNC_GENERATOR),
        (Item.as_view("item"), ViewKind.CLASS_BASED),
        (timed(Item.as_view("item")), ViewKind.ASYNC),
        (checked(wait), ViewKind.DECORATED_ASYNC),
        (checked(stream), ViewKind.DECORATED_ASYNC),
        (checked(checked(wait)), ViewKind.DECORATED_ASYNC),
        (checked(timed(index)), ViewKind.DECORATED_ASYNC),
        (Recorder(wait), ViewKind.DECORATED_ASYNC),
        (Worker(), ViewKind.ASYNC_CALLABLE),
        (Recorder(index), ViewKind.SYNC),
        (Circular(), ViewKind.SYNC),
        (static_view(flask.Flask(__name__), "static"), ViewKind.STATIC),
        (static_view(flask.Flask(__name__), "shop.static"), ViewKind.STATIC),
    ],
)
def test_each_view_is_of_one_kind_and_runs_on_the_loop_or_there_is_a_reason(
    view: Any, kind: ViewKind
) -> None:
    assert kind_of(view) is kind
    assert is_async(view) is (kind in {ViewKind.ASYNC, ViewKind.ASYNC_GENERATOR})
    names = ", ".join(sync_decorators(view)) if kind is ViewKind.DECORATED_ASYNC else ""
    reasons = {
        ViewKind.ASYNC: "",
        ViewKind.ASYNC_GENERATOR: "",
        ViewKind.STATIC: "",
        ViewKind.NONE: "there is no view function",
        ViewKind.CLASS_BASED: "Flask calls the class-based view Item through a sync function",
        ViewKind.DECORATED_ASYNC: "the sync decorator"
        f"{'s' * (',' in names)} {names} in front of the async view",
        ViewKind.ASYNC_CALLABLE: "Worker is an object, whose async __call__ Flask does not see",
    }
    app = flask.Flask(__name__)
    app.view_functions["view"] = view
    reason = reasons.get(kind, "sync view")
    serves_files = kind is ViewKind.STATIC
    assert Placement(app).of("view") == Place(not reason, reason, serves_files=serves_files)


@pytest.mark.parametrize(
    ("view_class", "methods"),
    [
        (Item, ["DELETE", "GET"]),
        (Plain, []),
        (Page, ["dispatch_request"]),
        (Both, ["dispatch_request", "GET"]),
    ],
)
def test_the_async_methods_of_a_class_are_named(view_class: type[View], methods: list[str]) -> None:
    assert async_methods(view_class.as_view("view")) == methods


@pytest.mark.parametrize(
    ("view", "names"),
    [
        (wait, []),
        (checked(wait), [f"{HERE}.checked"]),
        (limited(5)(wait), [f"{HERE}.limited.decorator"]),
        (checked(limited(5)(wait)), [f"{HERE}.checked", f"{HERE}.limited.decorator"]),
        (checked(timed(checked(wait))), [f"{HERE}.checked"]),
        (Recorder(wait), [f"{HERE}.Recorder"]),
    ],
)
def test_a_decorator_is_named_though_it_took_the_name_of_the_view(view: Any, names: list[str]) -> None:
    assert sync_decorators(view) == names


def test_a_wrapper_that_no_decorator_made_is_named_itself() -> None:
    assert sync_decorators(functools.wraps(wait)(stand_in)) == [f"{HERE}.stand_in"]


@pytest.mark.parametrize(
    ("function", "name", "module"),
    [
        (wait, "wait", HERE),
        (Worker().work, "Worker.work", HERE),
        (functools.partial(functools.partial(wait)), "wait", HERE),
        (Worker(), "Worker", HERE),
        ([].append, "list.append", "builtins"),
        (Item, "Item", HERE),
    ],
)
def test_a_callable_is_named(function: Any, name: str, module: str) -> None:
    assert name_of(function) == name
    assert full_name_of(function) == f"{module}.{name}"


def make_app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/wait", view_func=wait)
    return app


def test_a_view_can_be_moved_to_threads_and_back() -> None:
    placement = Placement(make_app())
    for endpoint in ("wait", "index"):
        before = placement.of(endpoint)
        placement.move(endpoint, "it has blocked")
        assert placement.of(endpoint) == Place(on_loop=False, reason="it has blocked", own_loop=True)
        placement.move_back(endpoint)
        placement.move_back(endpoint)
        assert placement.of(endpoint) == before


def test_where_async_views_run_may_be_decided_late() -> None:
    app = make_app()
    placement = Placement(app)
    assert placement.of("wait").on_loop
    app.config["ASHAPP_ASYNC_VIEWS"] = "thread"
    assert not placement.may_be_on_loop()
    assert placement.of("wait").own_loop


def test_where_there_is_no_async_view_nothing_is_worth_asking() -> None:
    app = flask.Flask(__name__)
    placement = Placement(app)
    assert not placement.may_be_on_loop("/")
    app.add_url_rule("/wait", view_func=wait)
    assert placement.may_be_on_loop()
