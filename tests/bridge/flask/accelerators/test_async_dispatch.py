# SPDX-License-Identifier: MIT
"""While an async view waits no greenlet is held, where nothing of the application's is in between."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import flask
import pytest

from ashapp import FlaskToAsgi, nonblocking
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import PooledGreenlet
from ashapp.bridge.messages.types import Environ, StartResponse
from tests.support.asgi import fetch
from tests.support.flask import accelerated_release

AT_ONCE = 20


def wrap(app: flask.Flask) -> None:
    inner = app.wsgi_app

    @nonblocking
    def middleware(environ: Environ, start_response: StartResponse) -> Any:
        return inner(environ, start_response)

    app.wsgi_app = middleware  # type: ignore[method-assign]


def add_hooks(app: flask.Flask) -> None:
    app.secret_key = "key"
    app.before_request(lambda: flask.session.update(user=flask.request.args["n"]))
    app.after_request(lambda response: response)
    app.teardown_request(lambda _: None)


def held() -> int:
    """Return how many greenlets belong to somebody, when those that other tests have left are gone."""
    gc.collect()
    return sum(type(thing) is PooledGreenlet and hasattr(thing, "driver") for thing in gc.get_objects())


@accelerated_release
@pytest.mark.parametrize(
    ("change", "greenlets"),
    [(lambda _: None, 0), (add_hooks, 0), (wrap, AT_ONCE)],
    ids=["plain", "hooks", "wrapped"],
)
async def test_greenlets_of_views_that_wait(change: Callable[[flask.Flask], Any], greenlets: int) -> None:
    app = flask.Flask(__name__)
    go = asyncio.Event()
    all_wait = asyncio.Barrier(AT_ONCE + 1)

    @app.get("/")
    async def view() -> str:
        number = flask.request.args["n"]
        await all_wait.wait()
        await go.wait()
        assert flask.request.args["n"] == number == flask.session.get("user", number)
        return number

    change(app)
    bridge = FlaskToAsgi(app)
    await fetch(bridge, target=b"/none")  # the first one is Flask's own
    before = held()  # what an earlier test has given up may be there
    requests = [asyncio.create_task(fetch(bridge, target=f"/?n={n}".encode())) for n in range(AT_ONCE)]
    async with asyncio.timeout(20):
        await all_wait.wait()
    await asyncio.sleep(0.01)
    found = held() - before
    go.set()
    assert [(await request).body for request in requests] == [str(n).encode() for n in range(AT_ONCE)]
    assert found == greenlets
