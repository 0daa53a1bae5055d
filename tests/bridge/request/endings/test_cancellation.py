# SPDX-License-Identifier: MIT
"""Cancellation by the server, or by somebody who might be taken for it."""

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.messages.types import Message
from tests.bridge.request.endings.service import (
    TORN_DOWN,
    Service,
    wait,
)
from tests.support.asgi import Client, fetch, http_scope, lifespan
from tests.support.flask import begin
from tests.support.journal import Journal
from tests.support.waiting import PATIENCE, eventually, until_set

pytestmark = pytest.mark.usefixtures("impatient")


async def test_cancelled_again_and_again(service: Service, journal: Journal) -> None:
    """As the cancel scopes of anyio do, each turn of the loop, until the task has ended."""
    service.add_view(wait, teardowns=True)
    request = service.begin()
    await service.started.wait()
    while not request.task.done():
        request.task.cancel()
        await asyncio.sleep(0)
    assert request.task.cancelled()
    assert journal.names == TORN_DOWN


async def test_cancelled_before_it_began(service: Service) -> None:
    service.add_view(wait)
    request = service.begin()
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert not service.started.is_set()


async def test_cancelled_by_the_view_itself(service: Service, journal: Journal) -> None:
    async def view() -> None:
        request.task.cancel()
        await asyncio.sleep(0)

    service.add_view(view, teardowns=True)
    request = service.begin()
    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal.names == TORN_DOWN


async def test_cancelled_together_with_a_disconnect(service: Service, journal: Journal) -> None:
    service.add_view(wait, teardowns=True)
    request = service.begin()
    await request.client.until(lambda client: client.asked)
    request.client.leave()
    await asyncio.sleep(0)
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal.names == TORN_DOWN


async def test_a_cancellation_of_ours_is_not_left_for_the_server_to_find(service: Service) -> None:
    service.add_view(wait)
    request = service.begin()
    async with asyncio.timeout(10):
        await asyncio.sleep(0)
        request.client.leave()
        await request.task
    assert request.task.cancelling() == 0


@pytest.mark.parametrize("where", ["view", "body"])
async def test_what_a_task_group_leaves_behind_is_no_cancellation_by_the_server(
    service: Service, journal: Journal, where: str
) -> None:
    """Up to Python 3.12 a task group whose task fails leaves its own task with a count too high."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("failed")

    async def body() -> AsyncIterator[str]:
        yield "first"
        await journal.note_cancellation()

    async def view() -> Any:
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        if where == "body":
            return body()
        return await journal.note_cancellation()

    service.add_view(view)
    request = service.begin()
    await request.client.until(lambda client: client.sent if where == "body" else client.asked)
    request.client.leave()
    await request.end()
    assert journal.names == ["cancelled"]


@pytest.mark.parametrize("error", [SystemExit, ZeroDivisionError])
async def test_cancelled_in_a_teardown_of_a_view_that_raised(
    service: Service, journal: Journal, error: type[BaseException]
) -> None:
    """Where Flask passes on what the view raised, no response has been started."""
    service.app.config["PROPAGATE_EXCEPTIONS"] = True

    @service.app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        service.started.set()
        await asyncio.sleep(0.02)
        journal.note("teardown", error)

    @service.app.get("/")
    async def view() -> str:
        raise error

    request = service.begin()
    await service.started.wait()
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert isinstance(journal["teardown"].value, error)


@pytest.mark.parametrize("closes", [False, True])
async def test_cancelled_while_a_complete_response_is_sent(
    service: Service, journal: Journal, *, closes: bool
) -> None:
    async def view() -> flask.Response:
        response = flask.Response("x")
        if closes:
            response.call_on_close(lambda: journal.note("closed"))
        return response

    sending = asyncio.Event()

    async def send(_: Message) -> None:
        sending.set()
        await wait()

    service.add_view(view, teardowns=True)
    bridge = FlaskToAsgi(service.app)
    task = asyncio.create_task(bridge(http_scope(), Client().receive, send))
    await sending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert journal.names == [*TORN_DOWN, *(["closed"] if closes else [])]
    await eventually(lambda: bridge.request_threads.busy == 0)


@pytest.mark.parametrize("where", ["before", "teardown"])
async def test_a_request_thread_that_is_stuck_does_not_keep_the_server(
    service: Service, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And when it is stuck no more, nothing is left of its request."""
    contexts: list[weakref.ref[Any]] = []

    def stuck(error: BaseException | None = None) -> None:
        contexts.append(weakref.ref(flask.g._get_current_object()))
        service.hold()

    async def view() -> str:
        return "hello"

    if where == "before":
        service.app.before_request(stuck)
    else:
        service.app.teardown_request(stuck)
    service.add_view(view)
    request = service.begin(task_grace=0.05)
    await until_set(service.held)
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.end()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "GET /" in record.getMessage()
    assert "stuck" in record.getMessage()
    service.release.set()
    assert (await fetch(service.bridge)).body == b"hello"
    await eventually(lambda: [gc.collect(), contexts[0]() is None][1])


@pytest.mark.parametrize("served", [True, False])
async def test_a_timeout_of_the_views_own_waits_for_the_request_thread(
    service: Service, *, served: bool
) -> None:
    """For longer than ``task_grace``, which is for a server that stops."""

    @service.app.context_processor
    def slow() -> dict[str, str]:
        service.hold()
        return {"name": "x"}

    async def view() -> str:
        try:
            async with asyncio.timeout(0.05):  # noqa: ASYNC100 - the request thread is waited for
                return flask.render_template_string("{{ name }}")
        except TimeoutError:
            return "too late"

    service.add_view(view)
    bridge = FlaskToAsgi(service.app, task_grace=0.05)
    async with lifespan(bridge) if served else nullcontext():
        request = begin(bridge)
        await until_set(service.held)
        await asyncio.sleep(0.3)
        service.release.set()
        assert (await request.end()).body == b"too late"


@pytest.mark.parametrize("how", ["cancelled", "left"])
async def test_a_body_that_has_failed_is_closed_though_its_request_ends_before_there_is_a_thread(
    app: flask.Flask, journal: Journal, how: str
) -> None:
    held, go_on = threading.Event(), threading.Event()
    others = flask.Blueprint("others", __name__)

    @others.before_request
    def hold() -> None:
        held.set()
        go_on.wait(PATIENCE)

    @others.get("/hold")
    async def other() -> str:
        return ""

    @app.get("/")
    async def view() -> flask.Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"one"
            raise ZeroDivisionError

        response = flask.Response(body())  # type: ignore[arg-type]
        response.call_on_close(lambda: journal.note("closed"))
        return response

    app.register_blueprint(others)
    bridge = FlaskToAsgi(app, async_threads=1)
    holder = begin(bridge, target=b"/hold")
    await until_set(held)
    request = begin(bridge)
    await eventually(lambda: bridge.request_threads.queued == 1)
    if how == "cancelled":
        request.task.cancel()
    else:
        request.client.leave()
    await asyncio.sleep(0.05)
    assert journal.names == []
    go_on.set()
    with pytest.raises(asyncio.CancelledError if how == "cancelled" else ZeroDivisionError):
        await request.end()
    await holder.end()
    assert journal.names == ["closed"]
