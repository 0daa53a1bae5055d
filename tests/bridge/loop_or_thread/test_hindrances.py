# SPDX-License-Identifier: MIT
"""What keeps async views off the loop: it is named, and they are served on a thread all the same."""

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, Map, MapAdapter

from ashapp.bridge import FlaskToAsgi, nonblocking
from ashapp.bridge.loop_or_thread.placement import Place, Placement
from tests.support.asgi import fetch

Change = Callable[[flask.Flask], object]


def not_on_loop() -> None:
    assert asyncio._get_running_loop() is None


def make_app() -> flask.Flask:
    async def wait() -> str:
        await asyncio.sleep(0)
        return f"{threading.get_ident()} {flask.request.path}"

    app = flask.Flask(__name__)
    app.secret_key = "not a secret"
    app.add_url_rule("/", "index", lambda: "index")
    app.add_url_rule("/wait", view_func=wait)
    return app


class OwnMap(Map):
    def bind_to_environ(self, *args: Any, **kwargs: Any) -> MapAdapter:
        return super().bind_to_environ(*args, **kwargs)


class Middleware:
    """Keeps what it wraps under a name that is looked for."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.application(environ, start_response)


@nonblocking
class Quick(Middleware):
    pass


class Store(SecureCookieSessionInterface):
    def open_session(self, *args: Any) -> Any:
        not_on_loop()
        return super().open_session(*args)


@nonblocking
class QuickStore(SecureCookieSessionInterface):
    def open_session(self, *args: Any) -> Any:
        return super().open_session(*args)


class Deputy:
    """Has nothing of its own: what it is asked for, another has to have."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.__qualname__ = "Deputy"

    def __call__(self, *args: Any) -> Any:
        return self._inner(*args)

    def __getattr__(self, name: str) -> Any:
        return vars(self)["_inner"].__getattribute__(name)


def middleware(inner: Any) -> Any:
    def outer(*args: Any) -> Any:
        not_on_loop()
        return inner(*args)

    return outer


def wrap(*layers: Callable[[Any], Any]) -> Change:
    """Return a change that puts *layers* around ``wsgi_app``, the innermost first."""

    def change(app: Any) -> None:
        for layer in layers:
            app.wsgi_app = layer(app.wsgi_app)

    return change


def replace(name: str, make: Callable[[Any], Any]) -> Change:
    return lambda app: setattr(app, name, make(getattr(app, name)))


def replaced_by(inner: Any) -> Any:
    def replacement(*args: Any) -> Any:
        not_on_loop()
        return inner(*args)

    return replacement


def override(name: str) -> Change:
    """Return a change of the class to one that overrides *name*."""

    @functools.wraps(getattr(flask.Flask, name))  # Flask 3.2 passes the context to those that take one
    def method(self: flask.Flask, *args: Any, **kwargs: Any) -> Any:
        not_on_loop()
        return getattr(flask.Flask, name)(self, *args, **kwargs)

    return lambda app: setattr(app, "__class__", type("Overriding", (flask.Flask,), {name: method}))


def own_method(_shared: Any) -> Any:
    interface = SecureCookieSessionInterface()
    vars(interface)["save_session"] = lambda *args: not_on_loop()
    return interface


def own_map(url_map: Map) -> Map:
    rules = [rule.empty() for rule in url_map.iter_rules()]
    return OwnMap(rules, host_matching=url_map.host_matching)


def pull(endpoint: str | None, values: dict[str, Any] | None) -> None:
    not_on_loop()


def dispatcher(inner: Any) -> Any:
    return DispatcherMiddleware(inner, {})


OVERRIDDEN = [
    *("__call__", "wsgi_app", "request_context", "full_dispatch_request", "preprocess_request"),
    *("dispatch_request", "finalize_request", "process_response", "do_teardown_request"),
    *("do_teardown_appcontext", "make_response", "create_url_adapter"),
]
MIDDLEWARE = "the WSGI middleware {} around wsgi_app is not marked nonblocking"
SESSION = "the session interface {} is not marked nonblocking"
HINDRANCES: list[tuple[Change, str]] = [
    *((override(name), f"Overriding overrides {name}") for name in OVERRIDDEN),
    (
        replace("dispatch_request", replaced_by),
        "dispatch_request is replaced by replaced_by.<locals>.replacement",
    ),
    (
        replace("create_url_adapter", functools.partial),
        "create_url_adapter is replaced by Flask.create_url_adapter",
    ),
    (replace("ensure_sync", functools.partial), "ensure_sync is replaced by Flask.ensure_sync"),
    (replace("async_to_sync", functools.partial), "async_to_sync is replaced by Flask.async_to_sync"),
    (wrap(middleware), MIDDLEWARE.format("middleware.<locals>.outer")),
    (wrap(dispatcher), MIDDLEWARE.format("DispatcherMiddleware")),
    (wrap(middleware, ProxyFix), MIDDLEWARE.format("middleware.<locals>.outer")),
    (
        wrap(middleware, Quick, lambda inner: nonblocking(dispatcher(inner))),
        MIDDLEWARE.format("middleware.<locals>.outer"),
    ),
    (wrap(Deputy), MIDDLEWARE.format("Deputy")),
    (replace("url_map", own_map), "the URL map OwnMap binds requests in its own way"),
    (replace("session_interface", lambda _: Store()), SESSION.format("Store")),
    (replace("session_interface", Deputy), SESSION.format("Deputy")),
    (replace("session_interface", own_method), SESSION.format("SecureCookieSessionInterface")),
    (
        lambda app: app.url_value_preprocessor(pull),
        "the URL value preprocessor pull is not marked nonblocking",
    ),
]


@pytest.mark.parametrize(
    ("change", "reason"), HINDRANCES, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_it_is_named_and_the_view_is_served_on_a_thread(change: Change, reason: str) -> None:
    app = make_app()
    change(app)
    bridge = FlaskToAsgi(app)
    placement = app.extensions["ashapp"].placement
    for _ in range(2):
        client = await fetch(bridge, target=b"/wait")
        # Its coroutine is on the loop, unless what awaits it is not the bridge's.
        own = "replaced on the application" in reason
        assert client.body.endswith(b" /wait")
        assert own or client.body == f"{threading.get_ident()} /wait".encode()
    assert (await fetch(bridge)).body == b"index"
    assert placement.hindrance() == reason
    assert not placement.may_be_on_loop()
    assert placement.of("wait") == Place(on_loop=False, reason=reason)
    assert placement.of("index") == Place(on_loop=False, reason="sync view")


class Upper(BaseConverter):
    def to_python(self, value: str) -> str:
        not_on_loop()
        return value.upper()


def converter_of_another_rule(app: flask.Flask) -> None:
    app.url_map.converters["upper"] = Upper
    app.add_url_rule("/<upper:value>/more", "upper", lambda value: value)


@pytest.mark.parametrize(
    "change",
    [
        lambda app: None,
        FlaskToAsgi,
        wrap(ProxyFix),
        wrap(ProxyFix, ProxyFix),
        wrap(Quick),
        wrap(Quick, ProxyFix, Quick),
        wrap(lambda inner: nonblocking(dispatcher(inner)), ProxyFix),
        wrap(lambda inner: nonblocking(functools.partial(inner))),
        replace("handle_exception", functools.partial),
        replace("session_interface", lambda _: SecureCookieSessionInterface()),
        replace(
            "session_interface", lambda _: type("Salted", (SecureCookieSessionInterface,), {"salt": "x"})()
        ),
        replace("session_interface", lambda _: nonblocking(type("Own", (QuickStore,), {})())),
        replace("session_interface", lambda _: QuickStore()),
        lambda app: app.url_value_preprocessor(nonblocking(lambda endpoint, values: None)),
        override("log_exception"),
        converter_of_another_rule,
    ],
)
async def test_what_does_not_block_is_none(change: Change) -> None:
    app = make_app()
    change(app)
    placement = Placement(app)
    assert placement.hindrance() is None
    assert placement.may_be_on_loop()
    assert placement.of("wait") == Place(on_loop=True)
    assert (await fetch(FlaskToAsgi(app), target=b"/wait")).body == f"{threading.get_ident()} /wait".encode()


@pytest.mark.parametrize(
    "change",
    [
        wrap(middleware),
        replace("session_interface", lambda _: Store()),
        lambda app: app.url_value_preprocessors.setdefault(None, []).append(pull),
        lambda app: app.config.update(ASHAPP_ASYNC_VIEWS="thread"),
    ],
)
async def test_what_changes_later_is_noticed(change: Change) -> None:
    app = make_app()
    bridge = FlaskToAsgi(app)
    placement = app.extensions["ashapp"].placement
    assert (await fetch(bridge, target=b"/wait")).status == 200
    assert placement.of("wait").on_loop
    change(app)
    assert (await fetch(bridge, target=b"/wait")).status == 200
    assert not placement.may_be_on_loop()
    assert not placement.of("wait").on_loop


def forward(inner: Any) -> Any:
    def forwarding(*args: Any) -> Any:
        return inner(*args)

    return forwarding


@pytest.mark.parametrize("name", ["ensure_sync", "async_to_sync", "create_url_adapter"])
def test_what_a_tool_has_replaced_for_all_applications_is_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = getattr(flask.Flask, name)
    monkeypatch.setattr(flask.Flask, name, functools.wraps(inner)(forward(inner)))
    app = make_app()
    FlaskToAsgi(app)
    assert getattr(app, name).__func__ is getattr(flask.Flask, name)
    assert Placement(app).hindrance() == f"{name} is replaced in flask.Flask"


@pytest.mark.parametrize("name", ["handle_user_exception", "handle_http_exception", "handle_exception"])
async def test_an_overridden_error_handling_runs_on_a_thread(name: str) -> None:
    app = make_app()
    override(name)(app)

    @app.get("/fail")
    async def fail() -> str:
        if "http" in name:
            flask.abort(418)
        raise ZeroDivisionError

    assert (await fetch(FlaskToAsgi(app), target=b"/fail")).status == (418 if "http" in name else 500)


async def test_a_middleware_may_change_the_address_and_the_path() -> None:
    """And so lead to an application of which the bridge knows nothing."""
    other = flask.Flask("other")
    other.add_url_rule("/inner", "inner", lambda: f"{flask.request.script_root} {flask.request.path}")
    app = make_app()
    app.add_url_rule("/address", "address", lambda: str(flask.request.remote_addr))
    wrap(ProxyFix, lambda inner: DispatcherMiddleware(inner, {"/other": other.wsgi_app}))(app)
    bridge = FlaskToAsgi(app)
    headers = [(b"x-forwarded-for", b"198.51.100.7")]
    assert (await fetch(bridge, target=b"/address", headers=headers)).body == b"198.51.100.7"
    assert (await fetch(bridge, target=b"/other/inner")).body == b"/other /inner"
