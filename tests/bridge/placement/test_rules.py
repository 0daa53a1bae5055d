# SPDX-License-Identifier: MIT
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface, SessionInterface
from flask.views import MethodView
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, Map, MapAdapter

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.placement.nonblocking import nonblocking
from ashapp.bridge.placement.rules import Place, Placement

HERE = __name__
ON_LOOP = Place(on_loop=True)


def checked(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper(**arguments: Any) -> Any:
        return view(**arguments)

    return wrapper


class Item(MethodView):
    async def get(self) -> str:
        return "item"


class Plain(MethodView):
    def get(self) -> str:
        return "plain"


class Worker:
    async def __call__(self) -> str:
        return "done"


def index() -> str:
    return "index"


async def wait() -> str:
    return "waited"


async def stream() -> AsyncIterator[str]:
    yield "item"


def make_app(flask_class: type[flask.Flask] = flask.Flask) -> flask.Flask:
    app = flask_class(__name__)
    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/wait", view_func=wait)
    app.url_map.converters["regex"] = Regex
    return app


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (wait, ""),
        (stream, ""),
        (index, "sync view"),
        (checked(index), "sync view"),
        (Plain.as_view("plain"), "sync view"),
        (Item.as_view("item"), "Flask calls the class-based view Item through a sync function"),
        (checked(wait), f"the sync decorator {HERE}.checked in front of the async view"),
        (
            checked(checked(wait)),
            f"the sync decorators {HERE}.checked, {HERE}.checked in front of the async view",
        ),
        (Worker(), "Worker is an object, whose async __call__ Flask does not see"),
    ],
)
def test_a_view_runs_on_the_loop_or_there_is_a_reason(view: Any, reason: str) -> None:
    app = flask.Flask(__name__)
    app.add_url_rule("/", "view", view)
    assert Placement(app).of("view") == Place(on_loop=not reason, reason=reason)


@pytest.mark.parametrize("name", ["ensure_sync", "async_to_sync", "create_url_adapter"])
def test_what_a_tool_has_replaced_for_all_applications_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = getattr(flask.Flask, name)

    @functools.wraps(inner)
    def replaced(*args: Any) -> Any:
        return inner(*args)

    monkeypatch.setattr(flask.Flask, name, replaced)
    app = make_app()
    FlaskToAsgi(app)
    assert getattr(app, name).__func__ is getattr(flask.Flask, name)
    assert Placement(app).hindrance() == f"{name} is replaced in flask.Flask"


def test_an_endpoint_without_a_view_is_told_of() -> None:
    assert Placement(make_app()).of("nothing") == Place(on_loop=False, reason="there is no view function")


def test_a_view_can_be_moved_to_threads_and_back() -> None:
    app = make_app()
    placement = Placement(app)
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
    assert placement.may_be_on_loop()
    app.config["ASHAPP_ASYNC_VIEWS"] = "thread"
    assert not placement.may_be_on_loop()
    assert placement.of("wait").own_loop


def test_where_there_is_no_async_view_nothing_is_worth_asking() -> None:
    app = flask.Flask(__name__)
    placement = Placement(app)
    assert not placement.may_be_on_loop()
    app.add_url_rule("/wait", view_func=wait)
    assert placement.may_be_on_loop()


class Teardown(flask.Flask):
    def do_teardown_request(self, *args: Any) -> None:
        super().do_teardown_request(*args)


class Regex(BaseConverter):
    def to_python(self, value: str) -> str:
        return value.upper()


class OwnMap(Map):
    def bind_to_environ(self, *args: Any, **kwargs: Any) -> MapAdapter:
        return super().bind_to_environ(*args, **kwargs)


@nonblocking
class Quick:
    """A middleware that does not wait."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        raise NotImplementedError


class Store(SecureCookieSessionInterface):
    def open_session(self, *args: Any) -> Any:
        return super().open_session(*args)


class Deputy:
    """Has nothing of its own: what it is asked for, another has to have."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.__qualname__ = "Deputy"

    def __call__(self, *args: Any) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        return vars(self)["_inner"].__getattribute__(name)


@nonblocking
class QuickStore(Store):
    pass


def middleware(environ: Any, start_response: Any) -> list[bytes]:
    raise NotImplementedError


def wrap(application: Any, outermost: Any) -> Any:
    application.wsgi_app = outermost(application.wsgi_app)


def set_attribute(name: str, value: Any) -> Callable[[flask.Flask], None]:
    return lambda app: setattr(app, name, value)


def own_method(interface: SessionInterface) -> SessionInterface:
    vars(interface)["save_session"] = pull
    return interface


def no_adapter(request: object) -> None:
    raise NotImplementedError


def pull(endpoint: str | None, values: dict[str, Any] | None) -> None:
    raise NotImplementedError


hindrances = pytest.mark.parametrize(
    ("flask_class", "change", "reason"),
    [
        (Teardown, lambda app: None, "Teardown overrides do_teardown_request"),
        (
            flask.Flask,
            lambda app: set_attribute("dispatch_request", functools.partial(app.dispatch_request))(app),
            "dispatch_request is replaced by Flask.dispatch_request",
        ),
        (
            flask.Flask,
            lambda app: wrap(app, lambda inner: DispatcherMiddleware(inner, {})),
            "the WSGI middleware DispatcherMiddleware around wsgi_app is not marked nonblocking",
        ),
        (
            flask.Flask,
            lambda app: wrap(app, lambda inner: ProxyFix(middleware)),
            "the WSGI middleware middleware around wsgi_app is not marked nonblocking",
        ),
        (
            flask.Flask,
            lambda app: wrap(app, lambda inner: nonblocking(DispatcherMiddleware(Quick(middleware), {}))),
            "the WSGI middleware middleware around wsgi_app is not marked nonblocking",
        ),
        (
            flask.Flask,
            set_attribute("create_url_adapter", no_adapter),
            "create_url_adapter is replaced by no_adapter",
        ),
        (
            flask.Flask,
            set_attribute("url_map", OwnMap()),
            "the URL map OwnMap binds requests in its own way",
        ),
        (
            flask.Flask,
            set_attribute("session_interface", Store()),
            "the session interface Store is not marked nonblocking",
        ),
        (
            flask.Flask,
            set_attribute("session_interface", SessionInterface()),
            "the session interface SessionInterface is not marked nonblocking",
        ),
        (
            flask.Flask,
            set_attribute("session_interface", Deputy(SecureCookieSessionInterface())),
            "the session interface Deputy is not marked nonblocking",
        ),
        (
            flask.Flask,
            set_attribute("session_interface", own_method(SecureCookieSessionInterface())),
            "the session interface SecureCookieSessionInterface is not marked nonblocking",
        ),
        (
            flask.Flask,
            lambda app: wrap(app, Deputy),
            "the WSGI middleware Deputy around wsgi_app is not marked nonblocking",
        ),
        (
            flask.Flask,
            lambda app: app.url_value_preprocessor(pull),
            "the URL value preprocessor pull is not marked nonblocking",
        ),
    ],
)


@hindrances
def test_what_keeps_async_views_off_the_loop_is_named(
    flask_class: type[flask.Flask], change: Callable[[flask.Flask], object], reason: str
) -> None:
    app = make_app(flask_class)
    change(app)
    placement = Placement(app)
    assert placement.hindrance() == reason
    assert not placement.may_be_on_loop()
    assert placement.of("wait") == Place(on_loop=False, reason=reason)
    assert placement.of("index") == Place(on_loop=False, reason="sync view")


@pytest.mark.parametrize(
    "change",
    [
        lambda app: None,
        FlaskToAsgi,
        lambda app: wrap(app, ProxyFix),
        lambda app: set_attribute("handle_exception", functools.partial(app.handle_exception))(app),
        lambda app: app.url_value_preprocessor(nonblocking(functools.partial(pull))),
        set_attribute("session_interface", SecureCookieSessionInterface()),
        set_attribute("session_interface", nonblocking(Store())),
        set_attribute("session_interface", QuickStore()),
        lambda app: wrap(app, Quick),
        lambda app: wrap(app, lambda inner: Quick(ProxyFix(Quick(inner)))),
        lambda app: wrap(app, lambda inner: ProxyFix(nonblocking(DispatcherMiddleware(inner, {})))),
        lambda app: wrap(app, lambda inner: nonblocking(functools.partial(middleware))),
        lambda app: app.add_url_rule("/<regex:value>", "index"),
    ],
)
def test_what_does_not_block_is_no_hindrance(change: Callable[[flask.Flask], object]) -> None:
    app = make_app()
    change(app)
    placement = Placement(app)
    assert placement.hindrance() is None
    assert placement.may_be_on_loop()
    assert placement.of("wait") == ON_LOOP


@pytest.mark.parametrize(
    "change",
    [
        lambda app: wrap(app, lambda inner: DispatcherMiddleware(inner, {})),
        set_attribute("session_interface", Store()),
        lambda app: app.url_value_preprocessor(pull),
    ],
)
def test_what_changes_later_is_noticed(change: Callable[[flask.Flask], object]) -> None:
    app = make_app()
    placement = Placement(app)
    assert placement.of("wait") == ON_LOOP
    change(app)
    assert not placement.may_be_on_loop()
    assert not placement.of("wait").on_loop


@pytest.mark.parametrize("mark", [False, True])
def test_a_converter_keeps_only_the_views_of_its_rules_off_the_loop(*, mark: bool) -> None:
    class Converter(Regex):
        pass

    app = make_app()
    app.url_map.converters["own"] = nonblocking(Converter) if mark else Converter
    app.add_url_rule("/own/<own:value>", view_func=stream)
    app.add_url_rule("/own", endpoint="stream")
    placement = Placement(app)
    reason = "" if mark else "the URL converter 'own' is not marked nonblocking"
    assert placement.of("stream") == Place(on_loop=mark, reason=reason)
    assert placement.of("wait") == ON_LOOP
    assert placement.guarded == (not mark)


def test_a_view_that_is_replaced_is_looked_at_anew() -> None:
    app = make_app()
    placement = Placement(app)
    assert placement.of("wait") is placement.of("wait")
    app.view_functions["wait"] = index
    assert placement.of("wait") == Place(on_loop=False, reason="sync view")


@pytest.mark.parametrize("name", ["ensure_sync", "async_to_sync"])
def test_what_the_application_has_replaced_itself_is_left_to_it(name: str) -> None:
    app = flask.Flask(__name__)

    @app.get("/")
    async def view() -> str:
        return "view"

    own = functools.partial(getattr(flask.Flask, name), app)
    setattr(app, name, own)
    FlaskToAsgi(app)
    assert getattr(app, name) is own
    assert app.extensions["ashapp"].placement.of("view") == Place(
        on_loop=False, reason=f"{name} is replaced on the application object"
    )
