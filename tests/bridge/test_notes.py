# SPDX-License-Identifier: MIT
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar

import flask
import httpx
import pytest

from ashapp import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.notes import NOTES
from ashapp.bridge.types import Receive, Scope, Send

_current: ContextVar[str] = ContextVar("current", default="nothing")


class Notes:
    def __init__(self) -> None:
        self.place: str | None = None
        self.queued = -1.0
        self.route: str | None = None
        self.endpoint: str | None = None

    def bind(self) -> None:
        _current.set("bound")


class Noting:
    def __init__(self, app: WsgiToAsgi) -> None:
        self.app = app
        self.notes = Notes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[NOTES] = self.notes = Notes()
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
    assert (noting.notes.place, noting.notes.route, noting.notes.endpoint) == (place, route, endpoint)
    assert response.text.startswith(text)
    assert _current.get() == "nothing"


async def test_it_is_noted_how_long_a_request_waited_for_a_thread() -> None:
    noting = Noting(FlaskToAsgi(make_app()))
    await noting.get("/sync/1")
    assert 0 <= noting.notes.queued < 5
    await noting.get("/async/x")
    assert noting.notes.queued == -1, "on the loop nothing waits for a thread"


async def test_any_wsgi_application_is_noted() -> None:
    noting = Noting(WsgiToAsgi(make_app().wsgi_app))
    await noting.get("/sync/1")
    assert (noting.notes.place, noting.notes.route) == ("thread", None)
