# SPDX-License-Identifier: MIT
import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from contextvars import ContextVar

import flask
import httpx
import pytest

from ashapp import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.messages.types import INFO, Receive, Scope, Send
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


class Noting:
    def __init__(self, app: WsgiToAsgi) -> None:
        self.app = app
        self.info = RequestInfo()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[INFO] = self.info = RequestInfo()
        await self.app(scope, receive, send)

    async def get(self, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(self)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)


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
    ("path", "text", "place", "route", "endpoint"),
    [
        ("/sync/3", "bound 3", "thread", "/sync/<int:number>", "sync"),
        ("/async/x", "bound x", "loop", "/async/<name>", "asynchronous"),
        ("/agen", "bound", "loop", "/agen", "agen"),
        ("/stream", "bound", "thread", "/stream", "stream"),
        ("/broken", "", "loop", "/broken", "broken"),
        ("/nowhere", "", "thread", None, None),
    ],
)
async def test_it_is_noted_where_a_request_ran_and_what_it_matched(
    path: str, text: str, place: str, route: str | None, endpoint: str | None
) -> None:
    noting = Noting(FlaskToAsgi(make_app()))
    response = await noting.get(path)
    assert (noting.info.place, noting.info.route, noting.info.endpoint) == (place, route, endpoint)
    assert response.text.startswith(text)
    assert _current.get() == "nothing"


@pytest.mark.parametrize("header", ["X-Sendfile", "X-Other"])
@pytest.mark.parametrize("place", ["thread", "loop"])
async def test_it_is_noted_that_a_proxy_sends_a_file_in_place_of_the_body(place: str, header: str) -> None:
    app = flask.Flask(__name__)

    def view() -> flask.Response:
        return flask.Response(headers={"Content-Length": "9", header: "/file"})

    async def async_view() -> flask.Response:
        return view()

    app.add_url_rule("/", view_func=view if place == "thread" else async_view)
    noting = Noting(FlaskToAsgi(app))
    await noting.get("/")
    assert (noting.info.place, noting.info.handed_over) == (place, header == "X-Sendfile")


async def test_it_is_noted_how_long_a_request_waited_for_a_thread() -> None:
    noting = Noting(FlaskToAsgi(make_app()))
    await noting.get("/sync/1")
    assert 0 <= noting.info.queued < 5
    await noting.get("/async/x")
    assert noting.info.queued == -1, "on the loop nothing waits for a thread"


async def test_any_wsgi_application_is_noted() -> None:
    noting = Noting(WsgiToAsgi(make_app().wsgi_app))
    await noting.get("/sync/1")
    assert (noting.info.place, noting.info.route) == ("thread", None)


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
        if place == "view":
            began.set()
            await until_set(go)
        return str(number)

    return app


@pytest.mark.parametrize("place", ["hook", "view"])
@pytest.mark.parametrize("endpoint", ["sync", "async"])
@pytest.mark.parametrize("how", ["too late", "cancelled"])
async def test_the_route_of_a_request_that_is_given_up_is_noted(place: str, endpoint: str, how: str) -> None:
    began, go = threading.Event(), threading.Event()
    app = make_blocking_app(began, go, place)
    noting = Noting(FlaskToAsgi(app, request_timeout=0.05 if how == "too late" else None))
    asked = asyncio.create_task(noting.get(f"/{endpoint}/1"))
    try:
        await until_set(began)
        # Later than the time is up: a hook can't be interrupted.
        asyncio.get_running_loop().call_later(0.1, go.set)
        if how == "cancelled":
            asked.cancel()
            with suppress(asyncio.CancelledError):
                await asked
        else:
            assert (await asked).status_code == 504
    finally:
        go.set()
    assert (noting.info.route, noting.info.endpoint) == (f"/{endpoint}/<int:number>", endpoint)


async def test_the_route_of_a_request_that_has_got_no_thread_is_noted() -> None:
    began, go = threading.Event(), threading.Event()
    bridge = FlaskToAsgi(make_blocking_app(began, go, "view"), threads=1)
    holder, waiter, nowhere = Noting(bridge), Noting(bridge), Noting(bridge)
    held = asyncio.create_task(holder.get("/sync/1"))
    try:
        await until_set(began)
        bridge.service.request_timeout = 0.05
        assert (await waiter.get("/sync/2")).status_code == 504
        assert (await nowhere.get("/nowhere")).status_code == 504
        assert (waiter.info.route, waiter.info.endpoint) == ("/sync/<int:number>", "sync")
        assert (nowhere.info.route, nowhere.info.endpoint) == (None, None)
    finally:
        go.set()
        await held


async def test_a_request_that_a_view_makes_by_the_test_client_leaves_its_route_alone() -> None:
    app = make_app()

    @app.get("/outer")
    def outer() -> str:
        return app.test_client().get("/sync/1").text

    noting = Noting(FlaskToAsgi(app))
    assert (await noting.get("/outer")).text.endswith(" 1")
    assert noting.info.route == "/outer"
