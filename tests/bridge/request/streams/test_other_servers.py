# SPDX-License-Identifier: MIT
"""Async bodies where no request of the bridge is served: in Flask's test client, by other WSGI servers."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any
from wsgiref.validate import validator

import flask
import pytest
from asgiref.sync import sync_to_async
from werkzeug.test import run_wsgi_app

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.request.async_bodies import BodyTask
from tests.support.flask import make_app
from tests.support.waiting import eventually, until

number: ContextVar[int] = ContextVar("number", default=0)


class Body:
    """An async generator that notes what becomes of it."""

    def __init__(self) -> None:
        self.loops: set[Any] = set()
        self.tasks: set[Any] = set()
        self.threads: set[int] = set()
        self.closed = 0

    async def items(self) -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(20):
                for item in "abc":
                    self.loops.add(asyncio.get_running_loop())
                    self.tasks.add(asyncio.current_task())
                    self.threads.add(await sync_to_async(threading.get_ident)())
                    number.set(number.get() + 1)
                    yield f"{item}{number.get()}"
        finally:
            await asyncio.sleep(0)
            self.closed += 1


@pytest.fixture
def body() -> Body:
    return Body()


@pytest.fixture
def app(body: Body) -> flask.Flask:
    app = make_app()

    async def view() -> Any:
        await asyncio.sleep(0)
        return body.items()

    app.add_url_rule("/sync", view_func=lambda: flask.Response(body.items()), endpoint="sync")  # type: ignore[arg-type]
    app.add_url_rule("/view", view_func=body.items, endpoint="generator")
    app.add_url_rule("/async", view_func=view)
    FlaskToAsgi(app)
    return app


def by_the_client(app: flask.Flask, path: str) -> bytes:
    return app.test_client().get(path).get_data()


def by_a_wsgi_server(app: flask.Flask, path: str) -> bytes:
    environ = flask.Flask.test_request_context(app, path).request.environ
    items, _, _ = run_wsgi_app(validator(app), environ)
    try:
        return b"".join(items)
    finally:
        items.close()  # type: ignore[attr-defined]  # it is a ClosingIterator


# On the thread of a running loop asgiref refuses to await the view itself, as with Flask alone.
@pytest.mark.parametrize(
    ("path", "where"),
    [("/sync", "thread"), ("/async", "thread"), ("/view", "thread"), ("/sync", "loop"), ("/view", "loop")],
)
@pytest.mark.parametrize("get", [by_the_client, by_a_wsgi_server])
async def test_all_items_come_from_one_task_of_one_loop(
    app: flask.Flask, body: Body, get: Callable[[flask.Flask, str], bytes], path: str, where: str
) -> None:
    threads: set[int] = set()

    def run() -> bytes:
        threads.add(threading.get_ident())
        return get(app, path)

    assert (await asyncio.to_thread(run) if where == "thread" else run()) == b"a1b2c3"
    assert body.closed == 1
    assert len(body.loops) == len(body.tasks) == 1
    assert body.threads == threads
    assert asyncio.get_running_loop() not in body.loops
    await eventually(lambda: all(loop.is_closed() for loop in body.loops))
    assert number.get() == 0


@pytest.mark.parametrize("path", ["/sync", "/async", "/view"])
@pytest.mark.parametrize("end", ["closed", "dropped"])
def test_one_that_is_not_read_to_its_end_is_closed(app: flask.Flask, body: Body, path: str, end: str) -> None:
    response = app.test_client().get(path)
    assert next(response.iter_encoded()) == b"a1"
    if end == "closed":
        response.close()
        assert body.closed == 1
    del response
    gc.collect()
    until(lambda: body.closed == 1)
    until(lambda: all(loop.is_closed() for loop in body.loops))


@pytest.mark.parametrize("path", ["/sync", "/async", "/view"])
def test_one_that_is_not_read_at_all_never_begins(app: flask.Flask, body: Body, path: str) -> None:
    assert app.test_client().head(path).status_code == 200
    assert (body.closed, body.loops) == (0, set())
    assert "ashapp-own-loop" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("closes", [False, True])
def test_a_step_for_a_loop_that_has_ended_is_refused(body: Body, *, closes: bool) -> None:
    task = BodyTask(items := body.items())
    assert task.run(lambda: anext(items), closes=False) == "a1"  # type: ignore[arg-type]
    task.abandon()
    until(lambda: all(loop.is_closed() for loop in body.loops))
    with pytest.raises(RuntimeError, match="loop is closed"):
        task.run(partial(asyncio.sleep, 0), closes=closes)
    gc.collect()  # no coroutine is left that was never awaited


def test_what_it_raises_reaches_the_client_and_tasks_that_it_leaves_are_cancelled() -> None:
    app = make_app()
    FlaskToAsgi(app)
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    @app.get("/")
    async def view() -> AsyncIterator[str]:
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        yield str(task.done())
        raise ZeroDivisionError

    response = app.test_client().get("/")
    items = response.iter_encoded()
    assert next(items) == b"False"
    with pytest.raises(ZeroDivisionError):
        next(items)
    assert cancelled.wait(20)
