# SPDX-License-Identifier: MIT
import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from ashapp.bridge import FlaskToAsgi, on_thread
from ashapp.server.serving.announcements import NOTHING_NAMED, Kind, announcements, logging_once
from ashapp.server.settings.loading import load


def lines_of(found: object, kind: Kind, **flags: Any) -> list[str]:
    settings = load({"app": "shop:app", **flags})
    told = announcements(found, settings, [], ["http://a", "http://b"])
    return [line for each, line in told if each is kind]


@pytest.mark.parametrize(
    ("found", "flags", "line"),
    [
        (Flask("shop"), {}, "Serving shop:app on http://a, http://b with 1 worker of 40 threads"),
        (Flask("shop"), {"workers": "3", "threads": "2"}, "with 3 workers of 2 threads"),
        (Flask("shop"), {"workers": "3", "reload": True}, "http://b with 1 worker of 40 threads"),
        (FlaskToAsgi(Flask("shop")), {}, "Serving shop:app on http://a, http://b with 1 worker"),
    ],
)
def test_the_last_line_says_what_is_served_where(found: object, flags: dict[str, Any], line: str) -> None:
    (last,) = lines_of(found, Kind.SERVING, **flags)
    assert last.endswith(line)


def test_what_the_owner_should_know_comes_first() -> None:
    first, *_, last = announcements(Flask("shop"), load({"app": "shop"}), ["no key"], ["http://a"])
    assert (first, last[0]) == ((Kind.WARNING, "no key"), Kind.SERVING)


def test_the_reference_api_says_that_nothing_else_was_found() -> None:
    kinds = [kind for kind, line in announcements(Flask("api"), load({}), [], []) if line == NOTHING_NAMED]
    assert kinds == [Kind.NOTE]


def test_each_line_is_logged_once_however_many_workers_tell_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ashapp.server")
    tell = logging_once(["and metrics"])
    for warning in ("no key", "no key", "a weak key: 100 %"):
        tell(Kind.WARNING, warning)
        tell(Kind.NOTE, "a note")
        tell(Kind.SERVING, "Serving shop")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "no key"),
        ("INFO", "a note"),
        ("INFO", "Serving shop"),
        ("INFO", "and metrics"),
        ("WARNING", "a weak key: 100 %"),
    ]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({}, ["/healthz (health.check) healthz_path", "/livez (alive) livez_path"]),
        ({"livez_path": "off"}, ["/healthz (health.check) healthz_path"]),
        ({"livez_path": "/alive", "healthz_path": "/well"}, []),
        ({"probes": False}, []),
    ],
)
def test_a_view_at_the_path_of_a_probe_is_told_of(flags: dict[str, Any], named: list[str]) -> None:
    shop, health = Flask("shop"), Blueprint("health", __name__)
    health.add_url_rule("/healthz", "check", lambda: "ok", methods=["POST"])
    shop.register_blueprint(health)
    shop.add_url_rule("/livez", "alive", lambda: "ok")
    shop.add_url_rule("/readyz/", "with_a_slash", lambda: "ok")
    shop.add_url_rule("/<path:path>", "page", lambda path: path)
    assert lines_of(shop, Kind.WARNING, **flags) == [
        f"shop:app has a view at {path} {endpoint} that is never called: a probe is answered there; "
        f"choose another {setting}, or switch it off"
        for path, endpoint, setting in map(str.split, named)
    ]


async def wait() -> str:
    return "waited"


@on_thread
async def block() -> str:
    return "blocked"


def decorated() -> Any:
    return wait()


decorated.__wrapped__ = wait  # type: ignore[attr-defined]


class Page(MethodView):
    async def get(self) -> str:
        return "waited"


Views = dict[str, Callable[..., Any]]


def app_of(views: Views) -> Flask:
    app = Flask("shop")
    for name, view in views.items():
        app.add_url_rule(f"/{name}", name, view)
        app.add_url_rule(f"/{name}/again", name, view)
    return app


@pytest.mark.parametrize(
    ("views", "line"),
    [
        ({}, None),
        ({"a": lambda: "", "b": decorated}, None),
        ({"a": block}, None),
        ({"a": wait}, "1 async view runs on a thread: "),
        ({"a": wait, "b": wait, "c": lambda: ""}, "2 async views run on threads: "),
    ],
)
def test_what_keeps_async_views_off_the_loop_is_one_line(views: Views, line: str | None) -> None:
    app = app_of(views)
    assert lines_of(app, Kind.WARNING) == []
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    told = lines_of(app, Kind.WARNING)
    assert [text.startswith(line) for text in told] == [True] if line else not told


@pytest.mark.parametrize(
    ("views", "shown"),
    [
        ({"a": wait, "b": lambda: ""}, None),
        ({"a": decorated}, "1 (a)"),
        ({"b": decorated, "a": Page.as_view("a")}, "2 (a, b)"),
        (dict.fromkeys("edcba", decorated), "5 (a, b, c and 2 more)"),
    ],
)
def test_async_views_that_look_sync_are_one_line(views: Views, shown: str | None) -> None:
    start = "Async views that look sync to Flask, and hold a thread while they wait: "
    end = "; to see why: ashapp routes shop:app"
    assert lines_of(app_of(views), Kind.NOTE) == ([f"{start}{shown}{end}"] if shown else [])
    typed = "ashapp routes 'shop:make(\"x\")'"
    assert all(line.endswith(typed) for line in lines_of(app_of(views), Kind.NOTE, app='shop:make("x")'))
