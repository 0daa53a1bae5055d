# SPDX-License-Identifier: MIT
"""Sync and async code inside each other, and asyncio, within an async view."""

import asyncio
import warnings
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import flask
import pytest
from asgiref.sync import async_to_sync

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import Client, fetch
from tests.support.flask import begin

variable = ContextVar("variable", default="unset")


async def coroutine_function(text: str = "") -> str:
    await asyncio.sleep(0)
    return f"{flask.request.path}{text}"


# -- ensure_sync


@pytest.mark.parametrize("module", ["shop", "flask.ctx", "flask_login", "ashapp"])
async def test_ensure_sync_in_a_coroutine_gives_an_awaitable(app: flask.Flask, module: str) -> None:
    def helper(text: str) -> Any:
        return flask.current_app.ensure_sync(coroutine_function)(text)

    call = FunctionType(helper.__code__, {**globals(), "__name__": module})

    async def task() -> str:
        result: str = await call("in a task")
        return result

    @app.get("/")
    async def view() -> list[str]:
        in_task = asyncio.create_task(call("task"))
        gathered = await asyncio.gather(call("a"), call("b"))
        other = await flask.current_app.async_to_sync(coroutine_function)("other")
        return [await call("awaited"), *gathered, await in_task, other, await asyncio.create_task(task())]

    expected = b'["/awaited","/a","/b","/task","/other","/in a task"]\n'
    assert (await fetch(FlaskToAsgi(app))).body == expected


async def test_what_flask_calls_in_a_coroutine_may_call_ensure_sync_in_turn(app: flask.Flask) -> None:
    @app.context_processor
    async def process() -> dict[str, str]:
        return {"name": await flask.current_app.ensure_sync(coroutine_function)("processor")}

    @app.get("/")
    async def view() -> list[str]:
        rendered = flask.render_template_string("{{ name }}")
        return [rendered, await flask.current_app.ensure_sync(coroutine_function)("after")]

    assert (await fetch(FlaskToAsgi(app))).body == b'["/processor","/after"]\n'


# -- Flask's own sync functions, called in an async view


# -- asgiref


async def test_async_to_sync_on_the_loop_says_what_to_do(app: flask.Flask) -> None:
    @app.get("/")
    async def view() -> str:
        try:
            return async_to_sync(coroutine_function)()
        except RuntimeError as error:
            return str(error)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert b"just await" in (await fetch(FlaskToAsgi(app))).body


# -- asyncio


async def time_out() -> str:
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        return "timeout"
    return "never"


async def time_out_around_the_reading_of_a_body() -> str:
    try:
        async with asyncio.timeout(0.01):  # noqa: ASYNC100 - the greenlet waits
            flask.request.get_data()
    except TimeoutError:
        return "timeout"
    return "never"


async def task_group() -> str:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine_function(text)) for text in "ab"]
    return "".join(task.result() for task in tasks)


async def task_group_that_fails() -> str:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(asyncio.sleep(10))
    except* LookupError as errors:
        failure = repr(errors.exceptions)
    return failure


@pytest.mark.parametrize(
    ("view", "body"),
    [
        (time_out, b"timeout"),
        (time_out_around_the_reading_of_a_body, b"timeout"),
        (task_group, b"/a/b"),
        (task_group_that_fails, b"(LookupError(),)"),
    ],
)
async def test_asyncio_works_in_views(app: flask.Flask, view: Any, body: bytes) -> None:
    app.add_url_rule("/", "view", view, methods=["POST"])
    request = begin(FlaskToAsgi(app), "POST", client=Client(more=True), headers=[(b"content-length", b"5")])
    assert (await request.end()).body == body
