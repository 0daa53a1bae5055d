# SPDX-License-Identifier: MIT
"""One context for all of a request, on the loop and on its request thread, and for nothing else."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import Client, fetch, http_scope, lifespan
from tests.support.flask import until

variable = ContextVar("variable", default="unset")


async def test_the_context_of_the_server_is_not_that_of_the_request(app: flask.Flask) -> None:
    """What is sent and received is so in the server's context, however the application's ran."""
    seen: set[tuple[str, str]] = set()
    variable.set("server")

    @app.before_request
    def before() -> None:
        variable.set("request")

    @app.post("/")
    async def view() -> AsyncIterator[bytes]:
        assert variable.get() == "request"
        data = flask.request.get_data()

        async def body() -> AsyncIterator[bytes]:
            yield data
            await asyncio.sleep(0)
            yield data

        return body()

    class Server(Client):
        async def receive(self) -> Any:
            seen.add(("receive", variable.get()))
            asyncio.get_running_loop().call_soon(lambda: seen.add(("scheduled by receive", variable.get())))
            return await super().receive()

        async def send(self, message: Any) -> None:
            seen.add(("send", variable.get()))
            asyncio.get_running_loop().call_soon(lambda: seen.add(("scheduled by send", variable.get())))
            await super().send(message)

    server = Server(b"a", b"b")
    scope = http_scope("POST", headers=[(b"transfer-encoding", b"chunked")])
    await FlaskToAsgi(app)(scope, server.receive, server.send)
    await asyncio.sleep(0)
    assert server.body == b"abab"
    assert seen == {
        (name, "server") for name in ["receive", "scheduled by receive", "send", "scheduled by send"]
    }


async def test_a_request_sees_nothing_of_what_the_server_had_at_its_startup(app: flask.Flask) -> None:
    """It belongs to no request, and may be mutable, as an application context is."""

    @app.get("/")
    async def view() -> str:
        return f"{variable.get()} {'mark' in flask.g}"

    bridge = FlaskToAsgi(app)
    variable.set("server")
    with app.app_context():
        flask.g.mark = True
        async with lifespan(bridge):
            assert (await fetch(bridge)).body == b"unset False"
            variable.set("request")
            assert (await fetch(bridge)).body == b"request False"


@until("3.2", "each request has an application context of its own since Flask 3.2")
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_app_context_around_the_client_is_that_of_the_request(app: flask.Flask, kind: str) -> None:
    """As under Flask's own test client."""

    @app.before_request
    def before() -> None:
        flask.g.seen = [*flask.g.get("seen", []), "hook"]

    async def view() -> str:
        return f"{flask.g.seen}"

    app.add_url_rule("/", "view", view if kind == "async" else lambda: f"{flask.g.seen}")
    with app.app_context():
        flask.g.seen = ["test"]
        assert (await fetch(FlaskToAsgi(app))).body == b"['test', 'hook']"
        assert flask.g.seen == ["test", "hook"]
    assert (await fetch(FlaskToAsgi(app))).body == b"['hook']"


@pytest.mark.parametrize("inner", ["async", "sync"])
async def test_a_context_that_the_view_enters_is_that_of_what_runs_in_it(
    app: flask.Flask, inner: str
) -> None:
    """On the request thread and in tasks too: a test client sees its own request, and the view its own."""
    seen: list[tuple[str, str]] = []

    def note(*args: Any) -> Any:
        seen.append((flask.request.path, variable.get()))
        return args[0] if args else None

    async def note_async(*args: Any) -> Any:
        await asyncio.sleep(0)
        return note(*args)

    for hook in (note, note_async):
        app.before_request(hook)
        app.after_request(hook)
        app.teardown_request(hook)

    async def inner_view() -> str:
        await asyncio.sleep(0)
        return variable.get()

    app.add_url_rule("/inner", "inner", inner_view if inner == "async" else lambda: variable.get())  # noqa: PLW0108

    @app.get("/")
    async def view() -> str:
        context = contextvars.copy_context()
        context.run(variable.set, "entered")
        answer = context.run(app.test_client().get, "/inner")
        return f"{answer.text} {flask.request.path} {variable.get()}"

    assert (await fetch(FlaskToAsgi(app))).body == b"entered / unset"
    assert seen == [("/", "unset")] * 2 + [("/inner", "entered")] * 6 + [("/", "unset")] * 4


async def start_task(function: Callable[[], Any]) -> Any:
    async def work() -> Any:
        return function()

    return await asyncio.create_task(work())


@pytest.mark.parametrize("start", [start_task, asyncio.to_thread])
async def test_tasks_and_threads_of_a_view_have_a_copy(app: flask.Flask, start: Any) -> None:
    def work() -> list[str]:
        before = variable.get()
        variable.set("work")
        return [before, variable.get(), flask.request.path]

    @app.get("/")
    async def view() -> list[str]:
        variable.set("view")
        return [*await start(work), variable.get()]

    assert (await fetch(FlaskToAsgi(app))).body == b'["view","work","/","view"]\n'
