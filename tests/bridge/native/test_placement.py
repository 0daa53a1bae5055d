# SPDX-License-Identifier: MIT
"""What keeps an async view off the loop, and that it is served correctly all the same."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

import flask
import pytest
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionInterface
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, ValidationError

from ashapp.bridge import FlaskToAsgi, nonblocking
from ashapp.bridge.messages.types import Environ, StartResponse
from tests.support.asgi import fetch
from tests.support.flask import make_app
from tests.support.journal import Journal


def add_views(app: flask.Flask, journal: Journal) -> None:
    @app.before_request
    def before() -> None:
        journal.note("before")

    @app.get("/")
    async def view() -> str:
        journal.note("view")
        await asyncio.sleep(0)
        return f"{flask.request.path} {flask.request.remote_addr}"


# -- the reasons


def middleware(app: flask.Flask) -> flask.Flask:
    inner = app.wsgi_app

    def outer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert asyncio._get_running_loop() is None
        return inner(environ, start_response)

    app.wsgi_app = outer  # type: ignore[method-assign]
    return app


def middleware_behind_proxy_fix(app: flask.Flask) -> flask.Flask:
    return proxy_fix(middleware(app))


def session_interface(app: flask.Flask) -> flask.Flask:
    class Sessions(SecureCookieSessionInterface):
        def open_session(self, app: flask.Flask, request: flask.Request) -> SecureCookieSession | None:
            assert asyncio._get_running_loop() is None
            return super().open_session(app, request)

    app.session_interface = Sessions()
    return app


def session_interface_of_its_own(app: flask.Flask) -> flask.Flask:
    class Sessions(SessionInterface):
        def open_session(self, app: flask.Flask, request: flask.Request) -> SecureCookieSession:
            assert asyncio._get_running_loop() is None
            return SecureCookieSession()

        def save_session(self, *args: Any) -> None:
            assert asyncio._get_running_loop() is None

    app.session_interface = Sessions()
    return app


def url_value_preprocessor(app: flask.Flask) -> flask.Flask:
    @app.url_value_preprocessor
    def preprocess(endpoint: str | None, values: dict[str, Any] | None) -> None:
        assert asyncio._get_running_loop() is None

    return app


def overridden(app: flask.Flask, name: str) -> flask.Flask:
    """Return *app* as one of a class that overrides *name*."""

    def method(self: flask.Flask, *args: Any, **kwargs: Any) -> Any:
        assert asyncio._get_running_loop() is None
        return getattr(flask.Flask, name)(self, *args, **kwargs)

    app.__class__ = type("Overriding", (flask.Flask,), {name: method})
    return app


REASONS: dict[str, tuple[Callable[[flask.Flask], flask.Flask], str]] = {
    "middleware": (middleware, "outer"),
    "middleware behind ProxyFix": (middleware_behind_proxy_fix, "outer"),
    "session interface": (session_interface, "Sessions"),
    "session interface of its own": (session_interface_of_its_own, "Sessions"),
    "URL value preprocessor": (url_value_preprocessor, "preprocess"),
    **{
        name: (lambda app, name=name: overridden(app, name), name)  # type: ignore[misc]
        for name in [
            "__call__",
            "wsgi_app",
            "request_context",
            "full_dispatch_request",
            "preprocess_request",
            "dispatch_request",
            "finalize_request",
            "process_response",
            "do_teardown_request",
            "do_teardown_appcontext",
            "make_response",
            "create_url_adapter",
        ]
    },
}


@pytest.mark.parametrize(("hinder", "name"), REASONS.values(), ids=REASONS)
async def test_it_is_served_on_a_thread(
    app: flask.Flask, journal: Journal, hinder: Callable[[flask.Flask], flask.Flask], name: str
) -> None:
    app = hinder(app)
    add_views(app, journal)
    bridge = FlaskToAsgi(app)

    for _ in range(2):
        journal.clear()
        client = await fetch(bridge)

        assert (client.status, client.body) == (200, b"/ 192.0.2.1")
        assert journal["view"].thread == threading.get_ident()  # its coroutine is on the loop all the same
        assert not journal["before"].on_loop
    place = bridge._dispatch.placement.of("view")
    assert not place.on_loop
    assert name in place.reason


@pytest.mark.parametrize("name", ["handle_user_exception", "handle_http_exception", "handle_exception"])
async def test_an_overridden_error_handling_runs_on_a_thread(
    app: flask.Flask, journal: Journal, name: str
) -> None:
    app = overridden(app, name)

    @app.get("/")
    async def view() -> str:
        if "http" in name:
            flask.abort(418)
        raise ZeroDivisionError

    assert (await fetch(FlaskToAsgi(app))).status == (418 if "http" in name else 500)


# -- no reasons


def proxy_fix(app: flask.Flask) -> flask.Flask:
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    return app


def proxy_fix_twice(app: flask.Flask) -> flask.Flask:
    return proxy_fix(proxy_fix(app))


def default_session_subclass(app: flask.Flask) -> flask.Flask:
    class Sessions(SecureCookieSessionInterface):
        salt = "own"

    app.session_interface = Sessions()
    return app


def marked_preprocessor(app: flask.Flask) -> flask.Flask:
    app.url_value_preprocessor(nonblocking(lambda endpoint, values: None))
    return app


def marked_session_interface(app: flask.Flask) -> flask.Flask:
    app = session_interface(app)

    class Sessions(SessionInterface):
        def open_session(self, app: flask.Flask, request: flask.Request) -> SecureCookieSession:
            return SecureCookieSession({"name": "me"})

        def save_session(self, *args: Any) -> None:
            pass

    app.session_interface = nonblocking(Sessions())
    return app


def marked_middleware(app: flask.Flask) -> flask.Flask:
    inner = app.wsgi_app

    @nonblocking
    def outer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return [b"".join(inner(environ, start_response))]

    app.wsgi_app = outer  # type: ignore[method-assign]
    return proxy_fix(app)


def converter_of_another_rule(app: flask.Flask) -> flask.Flask:
    class Converter(BaseConverter):
        def to_python(self, value: str) -> Any:
            assert asyncio._get_running_loop() is None
            return value

    app.url_map.converters["own"] = Converter
    app.add_url_rule("/<own:value>/more", "own", lambda value: value)
    return app


def subclass(app: flask.Flask) -> flask.Flask:
    app.__class__ = type("Subclass", (flask.Flask,), {"json_dumps": lambda self: None})
    return app


@pytest.mark.parametrize(
    "change",
    [
        *(proxy_fix, proxy_fix_twice, marked_middleware, default_session_subclass, marked_session_interface),
        *(marked_preprocessor, converter_of_another_rule, subclass),
    ],
)
async def test_what_does_not_block_is_no_hindrance(
    app: flask.Flask, journal: Journal, change: Callable[[flask.Flask], flask.Flask]
) -> None:
    app = change(app)
    add_views(app, journal)
    bridge = FlaskToAsgi(app)

    assert (await fetch(bridge)).status == 200
    assert bridge._dispatch.placement.of("view").on_loop


@pytest.mark.parametrize("mark", [False, True])
async def test_a_converter_runs_on_the_loop_if_it_is_marked(
    app: flask.Flask, journal: Journal, *, mark: bool
) -> None:
    """Else the views of its rules are on a thread, and so is what it says no to."""

    class Converter(BaseConverter):
        def to_python(self, value: str) -> str:
            journal.note("converter")
            if value == "no":
                raise ValidationError
            return value.upper()

    app.url_map.converters["own"] = nonblocking(Converter) if mark else Converter

    @app.get("/items/<own:value>")
    async def own(value: str) -> str:
        await asyncio.sleep(0)
        return value

    add_views(app, journal)
    bridge = FlaskToAsgi(app)
    yes, no = [await fetch(bridge, target=b"/items/" + value) for value in (b"yes", b"no")]

    assert (yes.body, no.status) == (b"YES", 404)
    assert {entry.on_loop for entry in journal.entries if entry.name == "converter"} == {mark}
    journal.clear()
    assert (await fetch(bridge)).status == 200
    assert "converter" not in journal
    placement = bridge._dispatch.placement
    assert [placement.of(name).on_loop for name in ("own", "view")] == [mark, True]


async def test_a_guarded_converter_is_as_ever_for_others(app: flask.Flask) -> None:
    """For Flask's own test client, on a loop too."""

    class Converter(BaseConverter):
        def to_python(self, value: str) -> str:
            return value.upper()

    app.url_map.converters["own"] = Converter
    app.add_url_rule("/items/<own:value>", "own", lambda value: value)

    @app.get("/")
    async def view() -> str:
        return "hello"

    assert (await fetch(FlaskToAsgi(app), target=b"/items/tea")).body == b"TEA"
    assert app.test_client().get("/items/tea").data == b"TEA"


@pytest.mark.parametrize("mark", [False, True])
async def test_url_defaults(app: flask.Flask, journal: Journal, *, mark: bool) -> None:
    """Flask calls them without ``ensure_sync``, from ``url_for``."""

    def add_language(endpoint: str, values: dict[str, Any]) -> None:
        journal.note("defaults")
        values.setdefault("language", flask.g.language)

    app.url_defaults(nonblocking(add_language) if mark else add_language)

    @app.before_request
    def before() -> None:
        journal.note("before")
        flask.g.language = "de"

    @app.get("/<language>/")
    async def view(language: str) -> str:
        return flask.url_for("view")

    @app.get("/<language>/sync")
    def sync_view(language: str) -> str:
        return flask.url_for("view")

    bridge = FlaskToAsgi(app)

    assert (await fetch(bridge, target=b"/en/")).body == b"/de/"
    assert journal["defaults"].on_loop == mark
    assert mark or journal["defaults"].thread == journal["before"].thread
    journal.clear()
    assert (await fetch(bridge, target=b"/en/sync")).body == b"/de/"
    assert journal["defaults"].thread == journal["before"].thread
    with app.test_request_context():
        flask.g.language = "fr"
        assert flask.url_for("view") == "/fr/"


async def test_proxy_fix_counts(app: flask.Flask, journal: Journal) -> None:
    add_views(proxy_fix(app), journal)
    headers = [(b"x-forwarded-for", b"198.51.100.7")]

    assert (await fetch(FlaskToAsgi(app), headers=headers)).body == b"/ 198.51.100.7"


async def test_what_comes_later_counts(app: flask.Flask, journal: Journal) -> None:
    add_views(app, journal)
    bridge = FlaskToAsgi(app)
    await fetch(bridge)
    assert bridge._dispatch.placement.of("view").on_loop

    middleware(app)
    assert (await fetch(bridge)).status == 200
    assert not bridge._dispatch.placement.of("view").on_loop


async def test_a_middleware_may_rewrite_the_path(app: flask.Flask, journal: Journal) -> None:
    """And so lead to an application of which the bridge knows nothing."""
    other = make_app()
    other.add_url_rule("/inner", "inner", lambda: f"{flask.request.script_root} {flask.request.path}")
    add_views(app, journal)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/other": other.wsgi_app})  # type: ignore[method-assign]
    bridge = FlaskToAsgi(app)

    assert (await fetch(bridge)).body == b"/ 192.0.2.1"
    assert (await fetch(bridge, target=b"/other/inner")).body == b"/other /inner"


async def test_sync_views_run_on_a_thread(app: flask.Flask, journal: Journal) -> None:
    add_views(app, journal)

    @app.get("/sync")
    def sync_view() -> str:
        journal.note("sync view")
        return "sync"

    bridge = FlaskToAsgi(app)

    assert (await fetch(bridge, target=b"/sync")).body == b"sync"
    assert journal["sync view"].thread == journal["before"].thread != threading.get_ident()
