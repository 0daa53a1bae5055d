# SPDX-License-Identifier: MIT
"""What an application returns, raises and sends may lack much, as it may under Flask's own test client."""

import asyncio
from collections.abc import Callable
from typing import Any

import flask
import pytest
from werkzeug.exceptions import HTTPException

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch
from tests.support.flask import make_app


class Redirect(HTTPException):
    """Never calls the ``__init__`` of its base, and so has neither a description nor a response."""

    code = 303

    def __init__(self, location: str) -> None:
        self.location = location

    def get_response(self, *_: Any, **__: Any) -> Any:
        return flask.redirect(self.location, 303)


class Attributes(dict[str, Any]):
    """A dict whose keys are its attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Bare(flask.Response):
    """Never calls the ``__init__`` of its base, and makes its own answer."""

    def __init__(self) -> None:
        pass

    def __call__(self, environ: Any, start_response: Any) -> Any:
        start_response("202 Accepted", [("Content-Type", "text/plain")])
        return [b"bare"]


class Answer(flask.Response):
    """Says nothing of who is to be called when it is closed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self._on_close

    def close(self) -> None:
        pass


def wsgi_callable(environ: Any, start_response: Any) -> Any:
    start_response("202 Accepted", [("Content-Type", "text/plain")])
    return [b"a WSGI application"]


def raise_redirect() -> Any:
    raise Redirect("/there")


def abort_with_redirect() -> Any:
    flask.abort(Redirect("/there"))  # type: ignore[arg-type]  # it raises what it is given


CASES: dict[str, Callable[[], Any]] = {
    "raised": raise_redirect,
    "aborted": abort_with_redirect,
    "returned": lambda: Redirect("/there"),
    "attributes": lambda: Attributes(text="hello"),
    "attributes with a status": lambda: (Attributes(text="hello"), 201),
    "bare": Bare,
    "no callbacks": lambda: Answer("hello"),
    "no callbacks, streamed": lambda: Answer(iter(["hel", "lo"])),
    "WSGI": lambda: wsgi_callable,
    "nothing": lambda: None,
}


def app_with(make: Callable[[], Any], kind: str) -> flask.Flask:
    app = make_app()

    async def async_view() -> Any:
        await asyncio.sleep(0)
        return make()

    app.add_url_rule("/", view_func=async_view if kind == "async" else make, endpoint="view")
    return app


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("case", CASES)
async def test_a_view_may_return_or_raise_it(case: str, kind: str) -> None:
    plain = await asyncio.to_thread(app_with(CASES[case], kind).test_client().get, "/")
    app = app_with(CASES[case], kind)
    client = await fetch(FlaskToAsgi(app))
    in_client = await asyncio.to_thread(app.test_client().get, "/")
    assert (client.status, client.body) == (plain.status_code, plain.data)
    assert client.headers.get("location") == plain.headers.get("Location")
    assert (in_client.status_code, in_client.data) == (plain.status_code, plain.data)


@pytest.mark.parametrize("sender", [None, "a name", 7, pytest.param(Attributes(), id="attributes"), "app"])
@pytest.mark.parametrize("signal", [flask.template_rendered, flask.message_flashed, flask.request_finished])
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_signal_of_flask_may_be_sent_by_anything(kind: str, signal: Any, sender: object) -> None:
    """And without what Flask says along with it."""
    heard: list[object] = []

    def receive(sender: object, **kwargs: object) -> str:
        heard.append(sender)
        return "heard"

    app = app_with(lambda: [answer for _, answer in signal.send(app if sender == "app" else sender)], kind)
    with signal.connected_to(receive):
        client = await fetch(FlaskToAsgi(app))
    assert client.body == b'["heard"]\n'
    assert heard[0] is (app if sender == "app" else sender)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_blinker_refuses_a_coroutine_function_that_it_can_t_wrap(kind: str) -> None:
    async def receive(sender: object, **kwargs: object) -> None: ...

    def view() -> str:
        with pytest.raises(RuntimeError, match="Cannot send to a coroutine function"):
            flask.template_rendered.send("a name")
        return "refused"

    with flask.template_rendered.connected_to(receive):
        client = await fetch(FlaskToAsgi(app_with(view, kind)))
    assert client.body == b"refused"
