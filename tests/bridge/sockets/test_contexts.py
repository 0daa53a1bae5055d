# SPDX-License-Identifier: MIT
"""Rule 17: one context for each request, across threads and the loop."""

import asyncio
import time
from contextvars import ContextVar, Token
from typing import Any

import pytest
from flask import Flask, Response, request

from ashapp.bridge import FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails
from tests.support.applications.decorators import ensured
from tests.support.client import fetch, fetch_all
from tests.support.server import Serve
from tests.support.waiting import until

mark = ContextVar("mark", default="none")


class Marks:
    """A Flask application in which each part of a request looks at a context variable and sets it."""

    def __init__(self, kind: str) -> None:
        self.seen: list[str] = []
        self.errors: list[ValueError] = []
        self.tokens: list[Token[str]] = []
        self.app = Flask(__name__)
        self.app.before_request(self._sync_before)
        self.app.before_request(self._async_before)
        view: Any = {"sync": self._view, "async": self._async_view, "decorated": ensured(self._async_view)}[
            kind
        ]
        self.app.add_url_rule("/", view_func=view)
        # Run in this order: last registered first.
        self.app.teardown_request(self._sync_teardown)
        self.app.teardown_request(self._async_teardown)

    def _step(self, name: str) -> None:
        self.seen.append(mark.get())
        self.tokens.append(mark.set(name))

    def _undo(self) -> None:
        self.seen.append(mark.get())
        try:
            mark.reset(self.tokens.pop())
        except ValueError as error:
            self.errors.append(error)

    def _sync_before(self) -> None:
        self._step("sync before")

    async def _async_before(self) -> None:
        await asyncio.sleep(0)
        self._step("async before")

    def _view(self) -> str:
        self._step("view")
        return "ok"

    async def _async_view(self) -> str:
        await asyncio.sleep(0)
        self._step("view")
        await asyncio.sleep(0)
        return "ok"

    async def _async_teardown(self, error: BaseException | None) -> None:
        await asyncio.sleep(0)
        self._undo()

    def _sync_teardown(self, error: BaseException | None) -> None:
        self._undo()
        self._undo()
        self.seen.append(mark.get())


@stock_fails("a token of one side can't be used on the other", FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("kind", ["sync", "async", "decorated"])
def test_a_request_has_one_context(serve: Serve, adapter: Adapter, kind: str) -> None:
    """Rule 17: what one part sets the next sees, and tokens can be reset, across threads and the loop."""
    marks = Marks(kind)
    address = serve(adapter(marks.app))
    for _ in range(3 if adapter is FlaskToAsgi else 1):
        marks.seen.clear()
        assert fetch(address, "/").body == b"ok"
        until(lambda: len(marks.seen) == 7)
        steps = ["none", "sync before", "async before", "view"]
        assert marks.seen == [*steps, "async before", "sync before", "none"]
    assert marks.errors == []


@pytest.mark.parametrize("kind", ["sync", "async", "decorated"])
def test_contexts_of_requests_at_the_same_time_are_apart(serve: Serve, kind: str) -> None:
    """Rules 1 and 17. Stock asgiref has no requests at the same time."""
    app = Flask(__name__)

    def check() -> str:
        name = request.args["name"]
        assert mark.get() == name
        return name

    def view() -> str:
        time.sleep(0.005)
        return check()

    async def async_view() -> str:
        await asyncio.sleep(0.005)
        return check()

    @app.before_request
    async def before() -> None:
        mark.set(request.args["name"])

    @app.after_request
    def after(response: Response) -> Response:
        check()
        return response

    views: dict[str, Any] = {"sync": view, "async": async_view, "decorated": ensured(async_view)}
    app.add_url_rule("/", view_func=views[kind])
    names = [f"n{number}" for number in range(60)]
    responses = fetch_all(serve(FlaskToAsgi(app)), [f"/?name={name}" for name in names])
    assert [response.body.decode() for response in responses] == names
