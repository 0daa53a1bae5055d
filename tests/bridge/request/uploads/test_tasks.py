# SPDX-License-Identifier: MIT
"""Bodies that the tasks of an async view read, and threads that it hands them to, while they are late."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import flask
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from ashapp.bridge import ClientDisconnected, FlaskToAsgi
from tests.support.applications.decorators import ensured
from tests.support.asgi import Client
from tests.support.flask import begin

FORM = (b"content-type", b"application/x-www-form-urlencoded")
JSON = (b"content-type", b"application/json")
MULTIPART = (b"content-type", b"multipart/form-data; boundary=b")
CHUNKED = (b"transfer-encoding", b"chunked")
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--b--\r\n'


@pytest.mark.parametrize("where", ["task", "thread", "task in a thread"])
async def test_a_part_of_the_view_reads_it(app: flask.Flask, where: str) -> None:
    @app.post("/")
    async def view() -> bytes:
        if where == "task":

            async def task() -> bytes:
                return await asyncio.to_thread(flask.request.get_data)

            return await asyncio.create_task(task())
        if where == "thread":
            return await asyncio.to_thread(flask.request.get_data)
        return await asyncio.get_running_loop().run_in_executor(
            None, flask.copy_current_request_context(flask.request.get_data)
        )

    request = begin(FlaskToAsgi(app), "POST", client=Client(b"abc", more=True), headers=[CHUNKED])
    await asyncio.sleep(0.02)
    request.client.say(b"def")

    assert (await request.end()).body == b"abcdef"


def with_gather(read: Callable[[], bytes]) -> Awaitable[Any]:
    async def task() -> bytes:
        return read()

    return asyncio.gather(task(), asyncio.sleep(0))


def with_task_group(read: Callable[[], bytes]) -> Awaitable[Any]:
    async def task() -> bytes:
        await asyncio.sleep(0)
        return await asyncio.create_task(inner())

    async def inner() -> bytes:
        return read()

    async def run() -> list[bytes]:
        async with asyncio.TaskGroup() as group:
            made = group.create_task(task())
        return [made.result()]

    return run()


def with_wait_for(read: Callable[[], bytes]) -> Awaitable[Any]:
    async def task() -> list[bytes]:
        return [read()]

    return asyncio.wait_for(task(), 20)


async def with_greenlets(read: Callable[[], bytes]) -> list[bytes]:
    """As ``AsyncSession.run_sync`` does."""
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.connect() as connection:
        result = [await connection.run_sync(lambda _: read())]
    await engine.dispose()
    return result


@pytest.mark.parametrize("read", [with_gather, with_task_group, with_wait_for, with_greenlets])
@pytest.mark.parametrize("kind", ["async", "decorated"])
async def test_one_that_is_late_is_read_in_a_task(
    app: flask.Flask, kind: str, read: Callable[[Callable[[], bytes]], Awaitable[Any]]
) -> None:
    async def view() -> str:
        result = await read(flask.request.get_data)
        return f"{len(result[0])} {flask.request.endpoint}"

    app.add_url_rule("/", "view", view if kind == "async" else ensured(view), methods=["POST"])
    bridge = FlaskToAsgi(app)
    requests = [
        begin(bridge, "POST", client=Client(more=True), headers=[(b"content-length", b"200000")])
        for _ in range(10)
    ]
    for request in requests:
        await request.client.until(lambda client: client.asked)
    for part in range(2):
        for request in requests:
            request.client.say(b"x" * 100_000, more=part == 0)
        await asyncio.sleep(0.01)

    assert [(await request.end()).body for request in requests] == [b"200000 view"] * 10


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
    async def task() -> Any:
        return read()

    async def view() -> Any:
        if where == "tasks":
            seen = list(await asyncio.gather(task(), task(), asyncio.wait_for(task(), 20)))
        elif where == "view and task":
            other = asyncio.create_task(task())
            await asyncio.sleep(0)
            seen = [read(), await other]
        else:
            seen = list(await asyncio.gather(asyncio.to_thread(read), task(), asyncio.to_thread(read)))
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


async def test_no_half_of_one_is_taken_for_the_whole(app: flask.Flask) -> None:
    """The first half is lost with the task that has read it."""

    @app.post("/")
    async def view() -> str:
        async def task() -> bytes:
            return flask.request.get_data()

        first, second = asyncio.create_task(task()), asyncio.create_task(task())
        await client.until(lambda client: client.asked == 2)
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        client.say(b"def")
        with pytest.raises(RuntimeError, match="cancelled half-way"):
            await second
        return "told"

    client = Client(b"abc", more=True)
    request = begin(FlaskToAsgi(app), "POST", client=client, headers=[CHUNKED])

    assert (await request.end()).body == b"told"


async def test_a_read_that_is_cancelled_before_it_has_anything_does_no_harm(app: flask.Flask) -> None:
    @app.post("/")
    async def view() -> bytes:
        async def task() -> bytes:
            return flask.request.get_data()

        first, second = asyncio.create_task(task()), asyncio.create_task(task())
        await client.until(lambda client: client.asked == 1)
        first.cancel()
        await asyncio.wait([first])
        client.say(b"abc")
        return await second

    client = Client(more=True)
    request = begin(FlaskToAsgi(app), "POST", client=client, headers=[CHUNKED])

    assert (await request.end()).body == b"abc"


async def test_a_client_that_leaves_is_told_to_a_task_that_reads(app: flask.Flask) -> None:
    raised: list[Exception] = []

    @app.post("/")
    async def view() -> str:
        async def task() -> bytes:
            return flask.request.get_data()

        try:
            await asyncio.create_task(task())
        except ClientDisconnected as error:
            raised.append(error)
            raise
        return "never"

    client = Client(b"abc", more=True)
    request = begin(FlaskToAsgi(app), "POST", client=client, headers=[CHUNKED])
    await client.until(lambda client: client.asked == 2)
    client.leave()
    await request.end()

    assert len(raised) == 1


async def test_a_callback_that_would_block_the_loop_is_told_so(app: flask.Flask) -> None:
    """It is no greenlet, and can't wait; what has been read already it may have."""

    @app.post("/")
    async def view() -> str:
        def read() -> None:
            try:
                result.set_result(flask.request.get_data().decode())
            except RuntimeError as error:
                result.set_exception(error)

        result: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if "first" in flask.request.args:
            flask.request.get_data()
        asyncio.get_running_loop().call_soon(read)
        try:
            return await result
        except RuntimeError as error:
            return str(error)

    bridge = FlaskToAsgi(app)

    async def post(target: bytes) -> bytes:
        client = Client(more=True)
        request = begin(bridge, "POST", target, client=client, headers=[CHUNKED])
        await asyncio.sleep(0.01)
        client.say(b"abc")
        return (await request.end()).body

    assert b"read it in the view or in a task" in await post(b"/")
    assert await post(b"/?first=1") == b"abc"
