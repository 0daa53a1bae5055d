# SPDX-License-Identifier: MIT
"""Errors in async views and in the hooks around them, and their handlers."""

import asyncio
import json
import logging
import sys
import traceback

import flask
import pytest
from werkzeug.exceptions import NotFound

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch
from tests.support.journal import Journal

pytestmark = pytest.mark.parametrize("kind", ["sync", "async"])


class Oops(Exception):  # noqa: N818
    pass


def add_handler(app: flask.Flask, error: type[Exception] | int, kind: str, journal: Journal) -> None:
    def handle(error: Exception) -> flask.typing.ResponseReturnValue:
        journal.note("handler", error)
        journal.note("handled", sys.exception())
        return "handled", 418

    async def handle_async(error: Exception) -> flask.typing.ResponseReturnValue:
        await asyncio.sleep(0)
        return handle(error)

    app.register_error_handler(error, handle if kind == "sync" else handle_async)


async def test_a_handler_gets_what_the_view_raised(app: flask.Flask, journal: Journal, kind: str) -> None:
    add_handler(app, Oops, kind, journal)

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0)
        raise Oops

    client = await fetch(FlaskToAsgi(app))

    assert (client.status, client.body) == (418, b"handled")
    assert isinstance(journal["handler"].value, Oops)
    assert journal["handler"].on_loop == (kind == "async")


async def test_a_handler_sees_what_is_handled(app: flask.Flask, journal: Journal, kind: str) -> None:
    add_handler(app, Oops, kind, journal)

    @app.get("/")
    async def view() -> str:
        raise Oops

    await fetch(FlaskToAsgi(app))

    assert journal["handled"].value is journal["handler"].value


async def test_a_handler_may_raise_again(
    app: flask.Flask, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def again(error: Exception) -> str:
        raise  # noqa: PLE0704 - what Flask handles

    async def again_async(error: Exception) -> str:
        raise  # noqa: PLE0704

    app.register_error_handler(Oops, again if kind == "sync" else again_async)

    @app.get("/")
    async def view() -> str:
        raise Oops

    client = await fetch(FlaskToAsgi(app))

    assert client.status == 500
    assert caplog.records[0].exc_info is not None
    assert isinstance(caplog.records[0].exc_info[1], Oops)


async def test_a_handler_of_a_status(app: flask.Flask, journal: Journal, kind: str) -> None:
    add_handler(app, 404, kind, journal)

    @app.get("/")
    async def view() -> str:
        flask.abort(404)

    assert (await fetch(FlaskToAsgi(app))).status == 418
    assert isinstance(journal["handler"].value, NotFound)


async def test_a_handler_of_500_gets_the_original(
    app: flask.Flask, journal: Journal, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    add_handler(app, 500, kind, journal)

    @app.get("/")
    async def view() -> str:
        raise Oops

    assert (await fetch(FlaskToAsgi(app))).status == 418
    assert isinstance(journal["handler"].value.original_exception, Oops)
    assert caplog.records[0].levelno == logging.ERROR


async def test_a_handler_of_a_blueprint(app: flask.Flask, journal: Journal, kind: str) -> None:
    blueprint = flask.Blueprint("part", __name__)
    add_handler(blueprint, Oops, kind, journal)  # type: ignore[arg-type]

    @blueprint.get("/")
    async def view() -> str:
        raise Oops

    @app.get("/other")
    async def other() -> str:
        raise Oops

    app.register_blueprint(blueprint)
    bridge = FlaskToAsgi(app)

    assert (await fetch(bridge)).status == 418
    assert (await fetch(bridge, target=b"/other")).status == 500


async def test_a_handler_gets_what_a_hook_raised(app: flask.Flask, journal: Journal, kind: str) -> None:
    add_handler(app, Oops, "async" if kind == "sync" else "sync", journal)

    def hook() -> None:
        raise Oops

    async def hook_async() -> None:
        await asyncio.sleep(0)
        raise Oops

    app.before_request(hook if kind == "sync" else hook_async)

    @app.get("/")
    async def view() -> str:
        journal.note("view")
        return "never"

    assert (await fetch(FlaskToAsgi(app))).status == 418
    assert "view" not in journal


@pytest.mark.parametrize(
    "error", [StopIteration, StopAsyncIteration, RuntimeError, LookupError, TimeoutError]
)
async def test_what_a_sync_hook_raises_is_not_changed(
    app: flask.Flask, journal: Journal, kind: str, error: type[Exception]
) -> None:
    add_handler(app, error, kind, journal)
    raised = error("hook")

    @app.before_request
    def hook() -> None:
        raise raised

    @app.get("/")
    async def view() -> str:
        return "never"

    assert (await fetch(FlaskToAsgi(app))).status == 418
    assert journal["handler"].value is raised


async def test_the_traceback_leads_to_where_it_was_raised(
    app: flask.Flask, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def deep() -> None:
        raise Oops

    @app.before_request
    def hook() -> None:
        if kind == "sync":
            deep()

    @app.get("/")
    async def view() -> str:
        async def task() -> None:
            deep()

        await asyncio.create_task(task())
        return "never"

    assert (await fetch(FlaskToAsgi(app))).status == 500
    exc_info = caplog.records[0].exc_info
    assert exc_info is not None
    names = [frame.name for frame in traceback.extract_tb(exc_info[2])]
    assert names[-2:] == ["hook" if kind == "sync" else "task", "deep"]
    assert "full_dispatch_request" in names


async def test_a_handler_finds_the_traceback_as_it_was(app: flask.Flask, kind: str) -> None:
    def handle(error: Exception) -> list[str]:
        return [frame.name for frame in traceback.extract_tb(sys.exc_info()[2])]

    async def handle_async(error: Exception) -> list[str]:
        return handle(error)

    app.register_error_handler(Oops, handle if kind == "sync" else handle_async)

    @app.get("/")
    async def view() -> str:
        raise Oops

    names = json.loads((await fetch(FlaskToAsgi(app))).body)

    assert names[0] == "full_dispatch_request"
    assert names[-1] == "view"
