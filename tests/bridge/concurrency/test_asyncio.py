# SPDX-License-Identifier: MIT
"""asyncio in async views: timeouts, task groups and the like."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.flask import begin
from tests.support.journal import Journal


def add_teardowns(app: flask.Flask, journal: Journal) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("sync teardown", error)

    @app.teardown_request
    async def async_teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0.01)
        journal.note("async teardown", error)


TEARDOWNS = ["async teardown", "sync teardown"]


async def timeout() -> str:
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        return "timeout"
    return "never"


async def timeout_around_a_body() -> str:
    try:
        async with asyncio.timeout(0.01):  # noqa: ASYNC100 - the greenlet waits
            flask.request.get_data()
    except TimeoutError:
        return "timeout"
    return "never"


async def task_group() -> str:
    async def part(text: str) -> str:
        await asyncio.sleep(0)
        return text + flask.request.args["part"]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part(text)) for text in "ab"]
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


async def executor() -> str:
    await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.001)
    return "ran"


VIEWS: dict[Callable[[], Awaitable[str]], bytes] = {
    timeout: b"timeout",
    task_group: b"apbp",
    task_group_that_fails: b"(LookupError(),)",
    executor: b"ran",
}


@pytest.mark.parametrize(("view", "body"), VIEWS.items(), ids=lambda item: getattr(item, "__name__", ""))
async def test_asyncio_works_in_views(app: flask.Flask, view: Any, body: bytes, journal: Journal) -> None:
    add_teardowns(app, journal)
    app.add_url_rule("/", "view", view)
    request = begin(FlaskToAsgi(app), target=b"/?part=p")

    client = await request.end()

    assert (client.status, client.body) == (200, body)
    assert journal["sync teardown"].value is None


async def test_a_timeout_around_the_reading_of_a_body(app: flask.Flask) -> None:
    app.add_url_rule("/", "view", timeout_around_a_body, methods=["POST"])
    headers = [(b"content-length", b"5")]
    request = begin(FlaskToAsgi(app), "POST", headers=headers)
    request.client._inbox.get_nowait()

    assert (await request.end()).body == b"timeout"


async def test_a_view_that_cancels_its_own_task(app: flask.Flask, journal: Journal) -> None:
    add_teardowns(app, journal)

    @app.get("/")
    async def view() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return "never"

    request = begin(FlaskToAsgi(app))

    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal.names == TEARDOWNS
