# SPDX-License-Identifier: MIT
"""Request bodies in async views and in the hooks around them."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import flask
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from ashapp.bridge import ClientDisconnected, FlaskToAsgi
from ashapp.bridge.request.request_body import HIGH_WATER
from tests.support.applications.decorators import ensured
from tests.support.asgi import Client, fetch
from tests.support.flask import begin
from tests.support.journal import Journal

FORM = (b"content-type", b"application/x-www-form-urlencoded")
JSON = (b"content-type", b"application/json")
MULTIPART = (b"content-type", b"multipart/form-data; boundary=b")
CHUNKED = (b"transfer-encoding", b"chunked")

UPLOAD = (
    b'--b\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--b--\r\n'
)


def get_json() -> Any:
    return flask.request.get_json()


def form() -> Any:
    return flask.request.form


def files() -> Any:
    return {name: file.read().decode() for name, file in flask.request.files.items()}


def values() -> Any:
    return dict(flask.request.values)


def get_data() -> Any:
    return flask.request.get_data().decode()


def data() -> Any:
    return flask.request.data.decode()


def stream() -> Any:
    return flask.request.stream.read().decode()


def piecewise() -> Any:
    return "".join(iter(lambda: flask.request.stream.read(2).decode(), ""))


def lines() -> Any:
    return [line.decode() for line in flask.request.stream]


def wsgi_input() -> Any:
    return flask.request.environ["wsgi.input"].read().decode()


READS: dict[Any, tuple[tuple[bytes, bytes], bytes, Any]] = {
    get_json: (JSON, b'{"a": [1, 2]}', {"a": [1, 2]}),
    form: (FORM, b"a=1&b=2", {"a": "1", "b": "2"}),
    files: (MULTIPART, UPLOAD, {"file": "content"}),
    values: (MULTIPART, UPLOAD, {"field": "value"}),
    get_data: (JSON, b"content", "content"),
    data: (JSON, b"content", "content"),
    stream: (JSON, b"content", "content"),
    piecewise: (JSON, b"content", "content"),
    lines: (JSON, b"a\nb\nc", ["a\n", "b\n", "c"]),
    wsgi_input: (JSON, b"content", "content"),
}


async def arrive(client: Client, body: bytes, *, chunk: int = 3) -> None:
    """Let *body* arrive, a few bytes each turn of the loop."""
    for start in range(0, len(body), chunk):
        await asyncio.sleep(0)
        client.say(body[start : start + chunk], more=True)
    await asyncio.sleep(0)
    client.say()


def framed(framing: str, body: bytes) -> tuple[bytes, bytes]:
    return CHUNKED if framing == "chunked" else (b"content-length", b"%d" % len(body))


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("where", ["view", "view, later", "sync hook", "async hook"])
@pytest.mark.parametrize(("read", "sent"), READS.items(), ids=lambda item: getattr(item, "__name__", ""))
async def test_it_is_read(app: flask.Flask, read: Any, sent: Any, where: str, framing: str) -> None:
    content_type, body, expected = sent

    def before() -> None:
        flask.g.read = read()

    async def before_async() -> None:
        await asyncio.sleep(0)
        before()

    if "hook" in where:
        app.before_request(before if where == "sync hook" else before_async)

    @app.post("/")
    async def view() -> Any:
        if where == "view, later":
            await asyncio.sleep(0.01)
        return flask.jsonify(flask.g.read if "hook" in where else read())

    headers = [content_type, framed(framing, body)]
    request = begin(FlaskToAsgi(app), "POST", client=Client(more=True), headers=headers)
    await arrive(request.client, body)
    client = await request.end()

    assert (client.status, json.loads(client.body)) == (200, expected)


@pytest.mark.parametrize("read", [get_json, get_data, data])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_what_a_hook_has_read_the_view_finds(app: flask.Flask, read: Any, framing: str) -> None:
    app.before_request(lambda: flask.request.get_data() and None)

    @app.post("/")
    async def view() -> Any:
        return flask.jsonify(read())

    headers = [JSON, framed(framing, b'{"a": 1}')]
    request = begin(FlaskToAsgi(app), "POST", client=Client(more=True), headers=headers)
    await arrive(request.client, b'{"a": 1}')
    client = await request.end()

    assert json.loads(client.body) == ({"a": 1} if read is get_json else '{"a": 1}')


async def test_the_loop_goes_on_while_it_arrives(app: flask.Flask) -> None:
    @app.post("/")
    async def view() -> str:
        return str(len(flask.request.get_data()))

    @app.get("/")
    async def other() -> str:
        return "other"

    bridge = FlaskToAsgi(app)
    request = begin(bridge, "POST", client=Client(b"abc", more=True), headers=[CHUNKED])
    await asyncio.sleep(0)
    assert (await fetch(bridge)).body == b"other"
    request.client.say(b"def")

    assert (await request.end()).body == b"6"


async def test_a_large_one_is_not_held_in_memory(app: flask.Flask) -> None:
    """The bridge takes in no more than it has room for, and asks for more as the view reads."""
    go = asyncio.Event()

    @app.post("/")
    async def view() -> str:
        await go.wait()
        size = 0
        while chunk := flask.request.stream.read(1 << 16):
            size += len(chunk)
            await asyncio.sleep(0)
        return str(size)

    client = Client(*[b"x" * 10_000] * 1000)
    request = begin(FlaskToAsgi(app), "POST", client=client, headers=[CHUNKED])
    await asyncio.sleep(0.05)
    assert client.asked * 10_000 <= HIGH_WATER + 10_000
    go.set()

    assert (await request.end()).body == b"10000000"


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
        (get_data, (b"abc" * 30_000, FORM), "abc" * 30_000),
        (get_json, (b'"' + b"a" * 90_000 + b'"', JSON), "a" * 90_000),
        (lambda: form().to_dict(), (b"x=" + b"a" * 90_000, FORM), {"x": "a" * 90_000}),
        (lambda: list(flask.request.files), (UPLOAD, MULTIPART), ["file"]),
        (values, (b"x=" + b"a" * 90_000, FORM), {"x": "a" * 90_000}),
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


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("where", ["view", "sync hook"])
async def test_one_that_is_too_long(app: flask.Flask, where: str, framing: str) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 10
    if where == "sync hook":
        app.before_request(lambda: flask.request.get_data() and None)

    @app.post("/")
    async def view() -> str:
        return str(len(flask.request.get_data()))

    bridge = FlaskToAsgi(app)

    async def post(*chunks: bytes) -> int:
        return (await fetch(bridge, "POST", b"/", *chunks)).status

    assert await post(*[b"x" * 5] * 2 if framing == "chunked" else [b"x" * 10]) == 200
    assert await post(*[b"x" * 4] * 3 if framing == "chunked" else [b"x" * 11]) == 413


async def test_one_that_is_cut_off(app: flask.Flask, journal: Journal) -> None:
    @app.post("/")
    async def view() -> str:
        try:
            flask.request.get_data()
        except ClientDisconnected as error:
            journal.note("cut off", error)
            raise
        return "never"

    request = begin(FlaskToAsgi(app), "POST", client=Client(b"abc", more=True), headers=[CHUNKED])
    await asyncio.sleep(0)
    request.client.leave()
    client = await request.end()

    assert "cut off" in journal
    assert [message["status"] for message in client.sent[:1]] in ([], [400])


async def test_one_that_is_not_read(app: flask.Flask) -> None:
    @app.post("/")
    async def view() -> str:
        await asyncio.sleep(0)
        return "hello"

    assert (await fetch(FlaskToAsgi(app), "POST", b"/", b"x" * 100)).body == b"hello"


async def test_an_empty_one(app: flask.Flask) -> None:
    @app.post("/")
    async def view() -> list[Any]:
        return [
            flask.request.get_data().decode(),
            flask.request.get_json(silent=True),
            dict(flask.request.form),
        ]

    bridge = FlaskToAsgi(app)

    assert json.loads((await fetch(bridge, "POST")).body) == ["", None, {}]
    assert json.loads((await fetch(bridge, "POST", b"/", b"")).body) == ["", None, {}]


async def test_bad_json_is_400(app: flask.Flask) -> None:
    @app.post("/")
    async def view() -> Any:
        return flask.request.get_json()

    client = await fetch(FlaskToAsgi(app), "POST", b"/", b"{", headers=[JSON])

    assert client.status == 400


async def test_a_large_file_is_spooled_as_in_flask(app: flask.Flask) -> None:
    content = b"x" * (1 << 20)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = head + content + b"\r\n--b--\r\n"

    @app.post("/")
    async def view() -> dict[str, Any]:
        file = flask.request.files["file"]
        in_memory = isinstance(file.stream, io.BytesIO)
        return {"size": len(file.read()), "in memory": in_memory}

    parts = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
    client = await fetch(FlaskToAsgi(app), "POST", b"/", *parts, headers=[MULTIPART])

    assert json.loads(client.body) == {"size": len(content), "in memory": False}


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_bodies_past_the_budget_come_one_after_the_other(app: flask.Flask, framing: str) -> None:
    """Each view has begun, and waits in its read; all of them come to their end."""

    @app.post("/")
    async def view() -> str:
        size = len(flask.request.get_data())
        await asyncio.sleep(0)
        return str(size)

    size = 4 * HIGH_WATER
    bridge = FlaskToAsgi(app, limit_buffered=2 * HIGH_WATER)
    body = b"x" * size
    requests = [
        begin(bridge, "POST", client=Client(more=True), headers=[framed(framing, body)]) for _ in range(8)
    ]
    senders = [
        asyncio.create_task(arrive(request.client, body, chunk=HIGH_WATER // 2)) for request in requests
    ]
    assert [(await request.end()).body for request in requests] == [b"%d" % size] * 8
    await asyncio.gather(*senders)
    assert bridge.intake.budget.kept == 0
