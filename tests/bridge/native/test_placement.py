# SPDX-License-Identifier: MIT
"""URL converters, ``url_defaults`` and middleware around async views."""

import asyncio
from typing import Any

import flask
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, ValidationError

from ashapp.bridge import FlaskToAsgi, nonblocking
from tests.support.asgi import fetch
from tests.support.flask import make_app
from tests.support.journal import Journal

pytestmark = pytest.mark.usefixtures("accelerated")


def add_view(app: flask.Flask) -> None:
    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0)
        return f"{flask.request.path} {flask.request.remote_addr}"


@pytest.mark.parametrize("mark", [False, True])
async def test_a_converter_runs_on_the_loop_if_it_is_marked(
    app: flask.Flask, journal: Journal, *, mark: bool
) -> None:
    """Else the views of its rules are on a thread, and so is what it says no to."""

    class Converter(BaseConverter):
        def to_python(self, value: str) -> str:
            journal.note("converter", value)
            if value == "no":
                raise ValidationError
            return value.upper()

    app.url_map.converters["own"] = nonblocking(Converter) if mark else Converter

    @app.get("/items/<own:value>")
    async def own(value: str) -> str:
        await asyncio.sleep(0)
        return value

    add_view(app)
    bridge = FlaskToAsgi(app)
    yes, no = [await fetch(bridge, target=b"/items/" + value) for value in (b"yes", b"no")]

    assert (yes.body, no.status) == (b"YES", 404)
    assert {entry.on_loop for entry in journal.entries if entry.value == "yes"} == {mark}
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


async def test_a_middleware_may_change_the_address_and_the_path(app: flask.Flask) -> None:
    """And so lead to an application of which the bridge knows nothing."""
    other = make_app()
    other.add_url_rule("/inner", "inner", lambda: f"{flask.request.script_root} {flask.request.path}")
    add_view(app)
    wsgi_app = ProxyFix(app.wsgi_app)
    app.wsgi_app = DispatcherMiddleware(wsgi_app, {"/other": other.wsgi_app})  # type: ignore[method-assign]
    bridge = FlaskToAsgi(app)
    headers = [(b"x-forwarded-for", b"198.51.100.7")]

    assert (await fetch(bridge, headers=headers)).body == b"/ 198.51.100.7"
    assert (await fetch(bridge, target=b"/other/inner")).body == b"/other /inner"
    app.wsgi_app = wsgi_app  # type: ignore[method-assign]
    assert (await fetch(bridge, headers=headers)).body == b"/ 198.51.100.7"
