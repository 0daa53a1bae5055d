# SPDX-License-Identifier: MIT
"""Bodies that are late, and read by tasks of an async view, or by threads that it hands them to."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import flask
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from ashapp.bridge import FlaskToAsgi
from tests.support.applications.decorators import ensured
from tests.support.asgi import Client
from tests.support.flask import begin

FORM = (b"content-type", b"application/x-www-form-urlencoded")
JSON = (b"content-type", b"application/json")
MULTIPART = (b"content-type", b"multipart/form-data; boundary=b")
CHUNKED = (b"transfer-encoding", b"chunked")
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--b--\r\n'

Read = Callable[[], bytes]
T = TypeVar("T")


async def task(read: Callable[[], T]) -> T:
    return read()


async def with_gather(read: Read) -> bytes:
    return (await asyncio.gather(task(read), asyncio.sleep(0)))[0]


async def with_task_group(read: Read) -> bytes:
    async def outer() -> bytes:
        await asyncio.sleep(0)
        return await asyncio.create_task(task(read))

    async with asyncio.TaskGroup() as group:
        made = group.create_task(outer())
    return made.result()


async def with_greenlets(read: Read) -> bytes:
    """As ``AsyncSession.run_sync`` does."""
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.connect() as connection:
        result = await connection.run_sync(lambda _: read())
    await engine.dispose()
    return result


async def with_an_executor(read: Read) -> bytes:
    copied = flask.copy_current_request_context(read)
    return await asyncio.get_running_loop().run_in_executor(None, copied)


async def with_tasks_of_an_executor(read: Read) -> bytes:
    """A thread of the application's own reaches a coroutine that has tasks."""
    return await with_an_executor(lambda: flask.current_app.ensure_sync(with_gather)(read))


WAYS: dict[str, Callable[[Read], Awaitable[bytes]]] = {
    "gather": with_gather,
    "task group": with_task_group,
    "wait_for": lambda read: asyncio.wait_for(task(read), 20),
    "run_sync": with_greenlets,
    "thread": asyncio.to_thread,
    "thread of a task": lambda read: asyncio.create_task(asyncio.to_thread(read)),
    "executor": with_an_executor,
    "tasks of an executor": with_tasks_of_an_executor,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["async", "decorated"])
async def test_a_part_of_the_view_reads_it(app: flask.Flask, kind: str, way: str) -> None:
    async def view() -> str:
        result = await WAYS[way](flask.request.get_data)
        return f"{len(result)} {flask.request.endpoint}"

    app.add_url_rule("/", "view", view if kind == "async" else ensured(view), methods=["POST"])
    bridge = FlaskToAsgi(app)
    headers = [(b"content-length", b"200000")]
    requests = [begin(bridge, "POST", client=Client(more=True), headers=headers) for _ in range(10)]
    for request in requests:
        await request.client.until(lambda client: client.asked)
    for part in range(2):
        for request in requests:
            request.client.say(b"x" * 100_000, more=part == 0)
        await asyncio.sleep(0.01)
    assert [(await request.end()).body for request in requests] == [b"200000 view"] * 10


@pytest.mark.parametrize("kind", ["async", "decorated"])
async def test_an_async_generator_is_closed_in_a_task(app: flask.Flask, kind: str) -> None:
    """As a loop closes one that nobody has: what it makes a task of has no name."""
    closed: list[bytes] = []

    async def generate() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append(flask.request.get_data())

    async def view() -> str:
        generator: Any = generate()
        await anext(generator)
        await asyncio.create_task(generator.aclose())
        return "closed"

    app.add_url_rule("/", "view", view if kind == "async" else ensured(view), methods=["POST"])
    client = Client(more=True)
    request = begin(FlaskToAsgi(app), "POST", client=client, headers=[(b"content-length", b"100000")])
    await client.until(lambda client: client.asked)
    client.say(b"x" * 100_000)
    assert ((await request.end()).body, closed) == (b"closed", [b"x" * 100_000])


@pytest.mark.parametrize(
    ("read", "sent", "expected"),
    [
        (lambda: flask.request.get_data(as_text=True), (b"abc" * 30_000, FORM), "abc" * 30_000),
        (lambda: flask.request.json, (b'"' + b"a" * 90_000 + b'"', JSON), "a" * 90_000),
        (lambda: dict(flask.request.form), (b"x=" + b"a" * 90_000, FORM), {"x": "a" * 90_000}),
        (lambda: list(flask.request.files), (FILE, MULTIPART), ["file"]),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("where", ["tasks", "view and task", "threads and task"])
async def test_several_that_read_a_late_one_all_see_the_whole(
    app: flask.Flask, read: Any, sent: Any, expected: Any, where: str, framing: str
) -> None:
    async def view() -> Any:
        if where == "tasks":
            seen = list(await asyncio.gather(task(read), task(read), asyncio.wait_for(task(read), 20)))
        elif where == "view and task":
            other = asyncio.create_task(task(read))
            await asyncio.sleep(0)
            seen = [read(), await other]
        else:
            seen = list(await asyncio.gather(asyncio.to_thread(read), task(read), asyncio.to_thread(read)))
        return ["whole" if result == expected else repr(result)[:80] for result in seen]

    app.add_url_rule("/", view_func=view, methods=["POST"])
    body, kind = sent
    length = (b"content-length", str(len(body)).encode()) if framing == "length" else CHUNKED
    client = Client(more=True)
    request = begin(FlaskToAsgi(app), "POST", client=client, headers=[kind, length])
    middle = len(body) // 2
    await client.until(lambda client: client.asked == 1)
    client.say(body[:middle], more=True)
    await client.until(lambda client: client.asked == 2)
    client.say(body[middle:])
    assert set(json.loads((await request.end()).body)) == {"whole"}


@pytest.mark.parametrize("begun", [True, False], ids=["half-way", "before it has anything"])
async def test_one_whose_first_reader_is_cancelled(app: flask.Flask, *, begun: bool) -> None:
    """What that has read is lost with its task: no half is taken for the whole."""

    @app.post("/")
    async def view() -> bytes:
        first, second = (asyncio.create_task(task(flask.request.get_data)) for _ in range(2))
        await client.until(lambda client: client.asked == (2 if begun else 1))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        client.say(b"def")
        if begun:
            with pytest.raises(RuntimeError, match="cancelled half-way"):
                await second
            return b"told"
        return await second

    client = Client(b"abc", more=True) if begun else Client(more=True)
    request = begin(FlaskToAsgi(app), "POST", client=client, headers=[CHUNKED])
    assert (await request.end()).body == (b"told" if begun else b"def")


@pytest.mark.parametrize("read_before", [True, False])
async def test_a_callback_that_would_block_the_loop_is_told_so(
    app: flask.Flask, *, read_before: bool
) -> None:
    """It is no greenlet, and can't wait; what has been read already it may have."""

    @app.post("/")
    async def view() -> str:
        def read() -> None:
            try:
                result.set_result(flask.request.get_data(as_text=True))
            except RuntimeError as error:
                result.set_result(str(error))

        result: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if read_before:
            flask.request.get_data()
        asyncio.get_running_loop().call_soon(read)
        return await result

    client = Client(more=True)
    request = begin(FlaskToAsgi(app), "POST", client=client, headers=[CHUNKED])
    await asyncio.sleep(0.01)
    client.say(b"abc")
    assert (b"abc" if read_before else b"read it in the view or in a task") in (await request.end()).body
