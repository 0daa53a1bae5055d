# SPDX-License-Identifier: MIT
"""Contexts and responses that are used in other ways than by a server, with the accelerators and without."""

import re
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import flask
import pytest
from flask.globals import app_ctx

from ashapp import FlaskToAsgi
from ashapp.bridge.flask.copied_contexts import current_context
from tests.support.asgi import fetch
from tests.support.flask import make_app, since

pytestmark = pytest.mark.usefixtures("accelerated")


def within_another(app: flask.Flask, seen: list[Any]) -> None:
    with app.app_context():
        outer: Any = app_ctx._get_current_object()  # type: ignore[attr-defined]
        with app.test_request_context("/"):
            seen.append(app_ctx._get_current_object() is outer)  # type: ignore[attr-defined]
    seen.append(flask.has_app_context())


def entered_twice(app: flask.Flask, seen: list[Any]) -> None:
    with app.test_request_context("/") as context, context:
        seen.append(flask.request.path)
    seen.append(flask.has_request_context())


def left_too_early(app: flask.Flask, seen: list[Any]) -> None:
    outer, inner = app.test_request_context("/outer"), app.test_request_context("/inner")
    outer.push()
    inner.push()
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        outer.pop()
    seen.append(flask.has_request_context())


def copied(app: flask.Flask, seen: list[Any]) -> None:
    with app.test_request_context("/", json={"a": 1}):
        flask.session["a"] = 1
        context: Any = current_context().copy()
    with context:
        seen.append((flask.request.json, dict(flask.session), re.sub(r" \d+ ", " ", repr(context))))


@pytest.mark.parametrize("use", [within_another, entered_twice, left_too_early, copied])
def test_a_context_is_as_flask_has_it(use: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[list[Any]] = []
    for wraps in (False, True):
        app = make_app()
        seen: list[Any] = []
        app.teardown_request(lambda error, seen=seen: seen.append(("request", error)))
        app.teardown_appcontext(lambda error, seen=seen: seen.append(("context", error)))
        if wraps:
            FlaskToAsgi(app)
        outcomes.append(seen)
        copy_context().run(use, app, seen)  # one that is left too early stays
    assert outcomes[0] == outcomes[1]


async def test_a_middleware_may_ask_for_the_next_chunk() -> None:
    app = make_app()
    app.add_url_rule("/", "view", lambda: "text")
    inner = app.wsgi_app
    left: list[Any] = []

    def middleware(environ: Any, start_response: Any) -> list[bytes]:
        chunks: Any = inner(environ, start_response)
        first = next(chunks)
        left.append(next(chunks, None))
        chunks.close()
        return [first]

    app.wsgi_app = middleware  # type: ignore[method-assign]
    assert (await fetch(FlaskToAsgi(app))).body == b"text"
    assert left == [None]


@since("3.1", "TRUSTED_HOSTS is a setting since Flask 3.1")
async def test_a_host_that_is_not_trusted_is_refused() -> None:
    app = make_app()
    app.config["TRUSTED_HOSTS"] = ["example.com"]
    app.add_url_rule("/", "view", lambda: "text")
    assert (await fetch(FlaskToAsgi(app))).status == 400


async def test_files_of_a_request_are_closed() -> None:
    app = make_app()
    files: list[Any] = []

    @app.post("/")
    def view() -> str:
        files.extend(flask.request.files.values())
        text: str = files[0].read().decode()
        return text

    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\ntext\r\n--b--\r\n'
    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    client = await fetch(FlaskToAsgi(app), "POST", b"/", body, headers=headers)
    assert client.body == b"text"
    assert files[0].closed


async def test_a_key_that_is_no_text_is_left_to_flask() -> None:
    app = make_app()
    app.secret_key = ["not a secret"]
    app.add_url_rule("/", "view", lambda: str(flask.session.get("a")))
    assert (await fetch(FlaskToAsgi(app))).body == b"None"
