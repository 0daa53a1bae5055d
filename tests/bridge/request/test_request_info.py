# SPDX-License-Identifier: MIT
import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import flask
import pytest

from ashapp import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.messages.types import INFO
from tests.support.asgi import Client, fetch
from tests.support.flask import begin
from tests.support.waiting import PATIENCE, until_set

_current: ContextVar[str] = ContextVar("current", default="nothing")


class RequestInfo:
    def __init__(self) -> None:
        self.place: str | None = None
        self.queued = -1.0
        self.route: str | None = None
        self.endpoint: str | None = None
        self.handed_over = False

    def bind(self) -> None:
        _current.set("bound")


async def ask(bridge: WsgiToAsgi, target: bytes) -> tuple[Client, RequestInfo]:
    entries: dict[str, Any] = {INFO: RequestInfo()}
    return await fetch(bridge, target=target, **entries), entries[INFO]


def make_app() -> flask.Flask:
    app = flask.Flask(__name__)

    @app.get("/sync/<int:number>")
    def sync(number: int) -> str:
        return f"{_current.get()} {number}"

    @app.get("/async/<name>")
    async def asynchronous(name: str) -> str:
        return f"{_current.get()} {name}"

    @app.get("/agen")
    async def agen() -> AsyncIterator[str]:
        yield _current.get()

    @app.get("/stream")
    def stream() -> Iterator[str]:
        yield _current.get()

    @app.get("/broken")
    async def broken() -> str:
        return flask.abort(418)

    return app


@pytest.mark.parametrize(
    ("target", "text", "place", "route", "endpoint"),
    [
        (b"/sync/3", b"bound 3", "thread", "/sync/<int:number>", "sync"),
        (b"/async/x", b"bound x", "loop", "/async/<name>", "asynchronous"),
        (b"/agen", b"bound", "loop", "/agen", "agen"),
        (b"/stream", b"bound", "thread", "/stream", "stream"),
        (b"/broken", b"", "loop", "/broken", "broken"),
        (b"/nowhere", b"", "thread", None, None),
    ],
)
async def test_it_is_noted_where_a_request_ran_and_what_it_matched(
    target: bytes, text: bytes, place: str, route: str | None, endpoint: str | None
) -> None:
    client, info = await ask(FlaskToAsgi(make_app()), target)
    assert (info.place, info.route, info.endpoint) == (place, route, endpoint)
    assert client.body.startswith(text)
    assert _current.get() == "nothing"
    assert (0 <= info.queued < 5) if place == "thread" else (info.queued == -1), "for a thread"


@pytest.mark.parametrize("header", ["X-Sendfile", "X-Other"])
async def test_it_is_noted_that_a_proxy_sends_a_file_in_place_of_the_body(
    app: flask.Flask, add_view: Callable[..., None], place: str, header: str
) -> None:
    add_view(lambda: flask.Response(headers={"Content-Length": "9", header: "/file"}))
    _, info = await ask(FlaskToAsgi(app), b"/")
    assert (info.place, info.handed_over) == (place, header == "X-Sendfile")


async def test_any_wsgi_application_is_noted() -> None:
    _, info = await ask(WsgiToAsgi(make_app().wsgi_app), b"/sync/1")
    assert (info.place, info.route) == ("thread", None)


def make_blocking_app(began: threading.Event, go: threading.Event, place: str) -> flask.Flask:
    """Return an application that waits, in its hook or in its views, until it may *go* on."""
    app = flask.Flask(__name__)

    def block(where: str) -> None:
        if where == place:
            began.set()
            go.wait(PATIENCE)

    @app.before_request
    def hook() -> None:
        block("hook")

    @app.get("/sync/<int:number>")
    def sync(number: int) -> str:
        block("view")
        return str(number)

    @app.get("/async/<int:number>", endpoint="async")
    async def asynchronous(number: int) -> str:
        await asyncio.to_thread(block, "view")
        return str(number)

    return app


@pytest.mark.parametrize("place", ["hook", "view"])
@pytest.mark.parametrize("endpoint", ["sync", "async"])
@pytest.mark.parametrize("how", ["too late", "cancelled"])
async def test_the_route_of_a_request_that_is_given_up_is_noted(place: str, endpoint: str, how: str) -> None:
    began, go, info = threading.Event(), threading.Event(), RequestInfo()
    bridge = FlaskToAsgi(
        make_blocking_app(began, go, place), request_timeout=0.5 if how == "too late" else None
    )
    request = begin(bridge, target=f"/{endpoint}/1".encode(), entries={INFO: info})
    await until_set(began)
    # Later than the time is up: a hook can't be interrupted.
    asyncio.get_running_loop().call_later(0.6, go.set)
    if how == "cancelled":
        request.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request.end()
    else:
        assert (await request.end()).status == 504
    assert (info.route, info.endpoint) == (f"/{endpoint}/<int:number>", endpoint)


async def test_the_route_of_a_request_that_has_got_no_thread_is_noted() -> None:
    began, go = threading.Event(), threading.Event()
    bridge = FlaskToAsgi(make_blocking_app(began, go, "view"), threads=1)
    holder = begin(bridge, target=b"/sync/1")
    await until_set(began)
    bridge.service.request_timeout = 0.05
    (waiter, waiting), (stray, nowhere) = await ask(bridge, b"/sync/2"), await ask(bridge, b"/nowhere")
    go.set()
    await holder.end()
    assert (waiter.status, waiting.route, waiting.endpoint) == (504, "/sync/<int:number>", "sync")
    assert (stray.status, nowhere.route, nowhere.endpoint) == (504, None, None)


async def test_a_request_that_a_view_makes_by_the_test_client_leaves_its_route_alone() -> None:
    app = make_app()

    @app.get("/outer")
    def outer() -> str:
        return app.test_client().get("/sync/1").text

    client, info = await ask(FlaskToAsgi(app), b"/outer")
    assert client.body.endswith(b" 1")
    assert info.route == "/outer"
