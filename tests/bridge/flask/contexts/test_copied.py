# SPDX-License-Identifier: MIT
"""``copy_current_request_context`` of coroutine functions: for tasks, with the request in them."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import flask
import pytest
from asgiref.sync import sync_to_async
from flask.views import MethodView

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch
from tests.support.journal import Journal

Coroutine = Callable[..., Any]


def add_async(app: flask.Flask, coroutine: Coroutine) -> None:
    async def view() -> Any:
        return await coroutine()

    app.add_url_rule("/", view_func=view, methods=["GET", "POST"])


def add_class_based(app: flask.Flask, coroutine: Coroutine) -> None:
    class Item(MethodView):
        async def get(self) -> Any:
            return await coroutine()

        post = get

    app.add_url_rule("/", view_func=Item.as_view("item"))


@pytest.fixture(params=[add_async, add_class_based])
def add(request: pytest.FixtureRequest, app: flask.Flask) -> Callable[[Coroutine], None]:
    """A function that adds a view, on the loop or reached from a thread."""
    return lambda coroutine: request.param(app, coroutine)


Add = Callable[[Coroutine], None]


async def work(text: str = "") -> str:
    await asyncio.sleep(0.001)
    return f"{flask.request.path}{text} {flask.session.get('name')}"


async def in_a_task(copied: Any) -> list[str]:
    return [await asyncio.create_task(copied("1")), await asyncio.create_task(copied(text="2"))]


async def in_a_group(copied: Any) -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(copied(text)) for text in "12"]
    return [task.result() for task in tasks]


async def gathered(copied: Any) -> Any:
    return await asyncio.gather(copied("1"), copied("2"))


async def awaited(copied: Any) -> list[str]:
    return [await copied("1"), await copied("2")]


async def in_a_task_of_a_task(copied: Any) -> Any:
    return await asyncio.create_task(in_a_task(copied))


async def on_a_thread(copied: Any) -> Any:
    return [await asyncio.to_thread(copied, "1"), await asyncio.create_task(copied("2"))]


@pytest.mark.parametrize("run", [in_a_task, in_a_group, gathered, awaited, in_a_task_of_a_task, on_a_thread])
async def test_it_may_be_awaited(app: flask.Flask, add: Add, run: Any) -> None:
    async def view() -> Any:
        flask.session["name"] = "me"
        results = await run(flask.copy_current_request_context(work))
        return [*results, flask.request.path]

    add(view)
    assert (await fetch(FlaskToAsgi(app))).body == b'["/1 me","/2 me","/"]\n'


async def test_it_outlives_the_request(app: flask.Flask, add: Add, journal: Journal) -> None:
    go, done = asyncio.Event(), asyncio.Event()

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("sync teardown", flask.request.path)

    @app.teardown_request
    async def teardown_async(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        journal.note("async teardown")

    async def later() -> None:
        await go.wait()
        journal.note("later", (flask.request.args["name"], flask.current_app.name))

    async def view() -> str:
        task = asyncio.create_task(flask.copy_current_request_context(later)())
        task.add_done_callback(lambda _: done.set())
        return "hello"

    add(view)
    await fetch(FlaskToAsgi(app), target=b"/?name=me")
    assert journal.names == ["async teardown", "sync teardown"]
    journal.clear()
    go.set()
    await asyncio.wait_for(done.wait(), 20)
    assert journal.names == ["later", "async teardown", "sync teardown"]
    assert journal["later"].value == ("me", app.name)
    assert not journal["sync teardown"].on_loop


@pytest.mark.parametrize("cancelled", [False, True])
async def test_it_tears_down_once_it_is_done(
    app: flask.Flask, add: Add, journal: Journal, *, cancelled: bool
) -> None:
    """Not when it is called. Flask does so for each copy of a context."""

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("teardown", type(error))

    async def fail() -> None:
        await asyncio.sleep(0)
        journal.note("fails")
        if not cancelled:
            raise ZeroDivisionError
        await asyncio.Event().wait()

    async def view() -> str:
        copied = flask.copy_current_request_context(fail)()
        journal.note("called")
        task = asyncio.create_task(copied)
        while "fails" not in journal:  # noqa: ASYNC110
            await asyncio.sleep(0)
        if cancelled:
            task.cancel()
        await asyncio.wait([task])
        return "hello"

    add(view)
    assert (await fetch(FlaskToAsgi(app))).body == b"hello"
    assert journal.names == ["called", "fails", "teardown", "teardown"]
    ending = asyncio.CancelledError if cancelled else ZeroDivisionError
    assert [entry.value for entry in journal.entries[2:]] == [ending, type(None)]


async def test_files_stay_open_while_it_begins(app: flask.Flask, add: Add) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\ncontent\r\n--b--\r\n'

    async def read() -> Any:
        return flask.request.files["f"].read()

    async def view() -> Any:
        file = flask.request.files["f"]
        copied = flask.copy_current_request_context(read)()
        assert not file.stream.closed
        return await asyncio.create_task(copied)

    add(view)
    closed: list[Any] = []

    class Request(flask.Request):
        def close(self) -> None:
            closed.append(self)
            super().close()

    app.request_class = Request
    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    assert (await fetch(FlaskToAsgi(app), "POST", b"/", body, headers=headers)).body == b"content"
    assert closed


async def test_sync_code_in_it_may_wait(app: flask.Flask, add: Add, journal: Journal) -> None:
    @app.context_processor
    def process() -> dict[str, str]:
        journal.note("processor")
        return {"name": flask.request.path}

    @app.context_processor
    async def process_async() -> dict[str, str]:
        await asyncio.sleep(0)
        return {"other": "async"}

    async def render() -> str:
        await sync_to_async(journal.note)("thread")
        return flask.render_template_string("{{ name }} {{ other }}")

    async def view() -> Any:
        return await asyncio.create_task(flask.copy_current_request_context(render)())

    add(view)
    assert (await fetch(FlaskToAsgi(app))).body == b"/ async"
    assert journal["processor"].thread == journal["thread"].thread


async def test_a_sync_function_is_what_flask_makes_of_it(app: flask.Flask, add: Add) -> None:
    async def view() -> Any:
        copied: Any = flask.copy_current_request_context(lambda: flask.request.path)
        return [await asyncio.to_thread(copied), copied()]

    add(view)
    assert (await fetch(FlaskToAsgi(app))).body == b'["/","/"]\n'


async def test_in_a_sync_hook_it_returns_the_result(app: flask.Flask) -> None:
    @app.before_request
    def before() -> None:
        copied: Any = flask.copy_current_request_context(work)
        flask.g.result = [copied("1"), threading.current_thread() is threading.main_thread()]

    @app.get("/")
    async def view() -> Any:
        return flask.g.result

    assert (await fetch(FlaskToAsgi(app))).body == b'["/1 None",false]\n'
