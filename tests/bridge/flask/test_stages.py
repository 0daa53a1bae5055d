# SPDX-License-Identifier: MIT
import subprocess
import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import flask
import httpx
import pytest

from ashapp import FlaskToAsgi
from tests.support.flask import until

STAGES = ("preprocess_request", "do_teardown_request", "do_teardown_appcontext")
# What is made quicker in other ways.
METHODS = (
    *("request_context", "full_dispatch_request", "dispatch_request", "make_response"),
    *("finalize_request", "process_response"),
    pytest.param("app_context", marks=until("3.2", "a request has one context since Flask 3.2")),
)


async def answer(app: flask.Flask) -> str:
    transport = httpx.ASGITransport(FlaskToAsgi(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get("/")).text


def add_view(app: flask.Flask, *, is_async: bool) -> flask.Flask:
    async def on_loop() -> str:
        return "view"

    app.add_url_rule("/", view_func=on_loop if is_async else lambda: "view", endpoint="view")
    return app


def before(app: flask.Flask, seen: list[str]) -> None:
    app.before_request(lambda: seen.append("before"))


def values(app: flask.Flask, seen: list[str]) -> None:
    app.url_value_preprocessor(lambda *_: seen.append("values"))


def teardown_request(app: flask.Flask, seen: list[str]) -> None:
    app.teardown_request(lambda _: seen.append("request"))


def teardown_appcontext(app: flask.Flask, seen: list[str]) -> None:
    app.teardown_appcontext(lambda _: seen.append("context"))


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("register", [before, values, teardown_request, teardown_appcontext])
async def test_what_is_registered_later_is_called(
    register: Callable[[flask.Flask, list[str]], None], *, is_async: bool
) -> None:
    app = add_view(flask.Flask(__name__), is_async=is_async)
    FlaskToAsgi(app)
    seen: list[str] = []
    register(app, seen)
    assert await answer(app) == "view"
    assert len(seen) == 1


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("place", ["subclass", "object", "Flask"])
@pytest.mark.parametrize("stage", [*STAGES, *METHODS])
async def test_a_stage_that_is_replaced_is_called(
    monkeypatch: pytest.MonkeyPatch, stage: str, place: str, *, is_async: bool
) -> None:
    seen: list[str] = []
    inner = getattr(flask.Flask, stage)

    @wraps(inner)  # Flask 3.2 looks at its name, and passes the context to those that take one
    def replacement(self: flask.Flask, *args: Any) -> Any:
        seen.append(stage)
        return inner(self, *args)

    kind = type("Own", (flask.Flask,), {stage: replacement}) if place == "subclass" else flask.Flask
    app = add_view(kind(__name__), is_async=is_async)
    if place == "object":
        setattr(app, stage, partial(replacement, app))
    elif place == "Flask":
        monkeypatch.setattr(flask.Flask, stage, replacement)
    assert await answer(app) == "view"
    assert seen == [stage]


# What tracing tools do before the application is imported: with the names and the docstring of the original.
PATCHED_EARLY = """
import functools, sys
import flask

seen = []

def patch(stage):
    inner = getattr(flask.Flask, stage)

    @functools.wraps(inner)
    def patched(self, *args):
        seen.append(stage)
        return inner(self, *args)

    setattr(flask.Flask, stage, patched if sys.argv[1] == "function" else lambda *args: patched(*args))

for stage in sys.argv[2:]:
    patch(stage)

import asyncio
from ashapp import FlaskToAsgi

async def view():
    return "view"

async def get(app):
    async def send(message):
        pass
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}
    await FlaskToAsgi(app)(scope, None, send)

for function in (view, lambda: "view"):
    app = flask.Flask("app")
    app.add_url_rule("/", view_func=function, endpoint="view")
    asyncio.run(get(app))
print(*seen)
"""


@pytest.mark.parametrize("form", ["function", "lambda"])
def test_a_tool_that_patches_flask_before_the_bridge_is_imported_is_asked(form: str) -> None:
    command = [sys.executable, "-c", PATCHED_EARLY, form, *STAGES]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert seen == [*STAGES, *STAGES]
