# SPDX-License-Identifier: MIT
"""Streams from async views: of async generators, and of sync ones, which are pulled on the request thread."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.messages.errors import ClientDisconnected
from tests.support.asgi import Client, fetch
from tests.support.flask import begin
from tests.support.journal import Journal

AsyncBody = Callable[[], AsyncIterator[Any]]


def returned(body: AsyncBody) -> Any:
    return body()


def in_a_response(body: AsyncBody) -> Any:
    return flask.Response(body(), mimetype="text/plain")  # type: ignore[arg-type]


def in_a_tuple(body: AsyncBody) -> Any:
    return body(), 201, {"X-Header": "value"}


def in_a_tuple_in_a_response(body: AsyncBody) -> Any:
    return in_a_response(body), 201


def as_an_iterable(body: AsyncBody) -> Any:
    class Body:
        def __aiter__(self) -> AsyncIterator[Any]:
            return body()

    return Body()


def made_by_flask(body: AsyncBody) -> Any:
    return flask.make_response(body(), 202)


def aborted(body: AsyncBody) -> Any:
    flask.abort(in_a_response(body))


WAYS = [aborted, returned, in_a_response, in_a_tuple, in_a_tuple_in_a_response, as_an_iterable, made_by_flask]


def kinds_of_views(app: flask.Flask, make: Callable[[], Any], kind: str) -> None:
    """Add a view of *kind* that returns what *make* returns."""

    async def view() -> Any:
        await asyncio.sleep(0)
        return make()

    def sync_view() -> Any:
        return make()

    app.add_url_rule("/", "view", view if kind == "async" else sync_view)


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("way", WAYS)
async def test_an_async_generator_streams(
    app: flask.Flask, journal: Journal, way: Callable[[AsyncBody], Any], kind: str
) -> None:
    async def body() -> AsyncIterator[Any]:
        try:
            yield "text "
            await asyncio.sleep(0)
            yield b"bytes"
        finally:
            await asyncio.sleep(0)
            journal.note("closed")

    kinds_of_views(app, lambda: way(body), kind)

    client = await fetch(FlaskToAsgi(app))

    assert (client.body, client.complete) == (b"text bytes", True)
    assert journal["closed"].on_loop
    assert "content-length" not in client.headers


@pytest.mark.parametrize("hook", ["async", "sync"])
@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("body", [b"xy", "async generator"])
async def test_one_that_a_hook_puts_around_the_body(
    app: flask.Flask, journal: Journal, body: Any, kind: str, hook: str
) -> None:
    async def inner() -> AsyncIterator[str]:
        yield "x"
        await asyncio.sleep(0)
        yield "y"

    def wrap(response: flask.Response) -> flask.Response:
        items = response.response

        async def outer() -> AsyncIterator[Any]:
            for item in items:
                await asyncio.sleep(0)
                yield item
            journal.note("closed")
            yield "!"

        response.response = outer()  # type: ignore[assignment]
        response.headers.pop("Content-Length", None)
        return response

    async def async_wrap(response: flask.Response) -> flask.Response:
        await asyncio.sleep(0)
        return wrap(response)

    app.after_request(wrap if hook == "sync" else async_wrap)
    kinds_of_views(app, lambda: flask.Response(inner() if body != b"xy" else body), kind)  # type: ignore[arg-type]

    client = await fetch(FlaskToAsgi(app))

    assert (client.status, client.body, client.complete) == (200, b"xy!", True)
    assert journal["closed"].on_loop


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_each_item_goes_out_at_once(app: flask.Flask, kind: str) -> None:
    go: list[asyncio.Event] = [asyncio.Event() for _ in range(3)]

    async def body() -> AsyncIterator[str]:
        for number, event in enumerate(go):
            yield f"data: {number}\n\n"
            await event.wait()

    kinds_of_views(app, lambda: flask.Response(body(), mimetype="text/event-stream"), kind)  # type: ignore[arg-type]
    request = begin(FlaskToAsgi(app))
    for number, event in enumerate(go):
        await request.client.until(lambda client, count=number + 2: len(client.sent) >= count)  # type: ignore[misc]
        assert request.client.sent[-1]["body"] == f"data: {number}\n\n".encode()
        event.set()

    assert (await request.end()).complete


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_empty_one(app: flask.Flask, kind: str) -> None:
    async def body() -> AsyncIterator[str]:
        return
        yield

    kinds_of_views(app, body, kind)

    client = await fetch(FlaskToAsgi(app))

    assert (client.status, client.body, client.complete) == (200, b"", True)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_one_that_fails_is_cut_off(app: flask.Flask, kind: str) -> None:
    async def body() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(0)
        raise ZeroDivisionError

    kinds_of_views(app, body, kind)
    request = begin(FlaskToAsgi(app))

    with pytest.raises(ZeroDivisionError):
        await request.end()
    assert (request.client.body, request.client.complete) == (b"a", False)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_one_that_fails_before_its_first_item(app: flask.Flask, kind: str) -> None:
    async def body() -> AsyncIterator[str]:
        await asyncio.sleep(0)
        raise ZeroDivisionError
        yield

    kinds_of_views(app, body, kind)
    request = begin(FlaskToAsgi(app))

    with pytest.raises(ZeroDivisionError):
        await request.end()
    assert request.client.sent == []


@pytest.mark.parametrize("item", [None, 7, {"a": 1}])
@pytest.mark.parametrize("form", ["async generator", "sync generator"])
async def test_an_item_that_is_no_text_cuts_it_off(app: flask.Flask, form: str, item: Any) -> None:
    async def body() -> AsyncIterator[Any]:
        yield "a"
        yield item

    def sync_body() -> Iterator[Any]:
        yield "a"
        yield item

    kinds_of_views(app, body if form[0] == "a" else sync_body, "async")
    request = begin(FlaskToAsgi(app))

    with pytest.raises(TypeError):
        await request.end()
    assert not request.client.complete


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_head_closes_it_unread(app: flask.Flask, journal: Journal, kind: str) -> None:
    class Body:
        def __aiter__(self) -> "Body":
            return self

        async def __anext__(self) -> str:
            journal.note("pulled")
            return "item"

        async def aclose(self) -> None:
            journal.note("closed")

    kinds_of_views(app, Body, kind)

    client = await fetch(FlaskToAsgi(app), "HEAD")

    assert (client.status, client.body, client.complete) == (200, b"", True)
    assert journal.names == ["closed"]
    assert journal["closed"].on_loop


def of_length(length: int, body: AsyncBody) -> Callable[[], flask.Response]:
    return lambda: flask.Response(body(), headers={"Content-Length": str(length)})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_one_whose_length_is_reached_runs_to_its_end_in_its_task(
    app: flask.Flask, journal: Journal, kind: str
) -> None:
    """And the client does not wait. What belongs to a task, such as a task group, holds across items."""
    go = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            journal.note("task", asyncio.current_task())
            yield b"a"
            group.create_task(go.wait())
            yield b"b"
            await go.wait()
            yield b"too much"
            await asyncio.sleep(0)
            journal.note("task", asyncio.current_task())
        journal.note("end")

    kinds_of_views(app, of_length(2, body), kind)
    request = begin(FlaskToAsgi(app))
    await request.client.until(lambda client: client.complete)
    assert "end" not in journal
    request.client.leave()
    go.set()
    client = await request.end()

    assert client.body == b"ab"
    assert journal.names == ["task", "task", "end"]
    assert journal.entries[0].value is journal.entries[1].value


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("pause", [0, 3600], ids=["endless", "stuck"])
async def test_one_that_goes_on_for_ever_past_its_length_is_closed(
    app: flask.Flask, journal: Journal, kind: str, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ashapp.bridge.request.async_bodies.RUN_OUT_SECONDS", 0.05 if pause else 60)

    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"a"
                await asyncio.sleep(pause)
        finally:
            await asyncio.sleep(0.001)
            journal.note("closed")

    kinds_of_views(app, of_length(1, body), kind)

    client = await fetch(FlaskToAsgi(app))

    assert (client.body, client.complete) == (b"a", True)
    assert journal.names == ["closed"]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_time_out_of_its_own_past_its_length_is_logged_as_such(
    app: flask.Flask, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    kinds_of_views(app, of_length(1, body), kind)

    assert (await fetch(FlaskToAsgi(app))).complete
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [TimeoutError]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_one_whose_client_leaves_is_closed(app: flask.Flask, journal: Journal, kind: str) -> None:
    waits = asyncio.Event()

    async def body() -> AsyncIterator[str]:
        try:
            yield "a"
            waits.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            journal.note("cancelled")
            raise
        finally:
            await asyncio.sleep(0.001)
            journal.note("closed")

    kinds_of_views(app, body, kind)
    request = begin(FlaskToAsgi(app))
    await request.client.until(lambda client: len(client.sent) == 2)
    await asyncio.wait_for(waits.wait(), 3)
    request.client.leave()
    client = await asyncio.wait_for(request.end(), 3)

    assert not client.complete
    assert journal["closed"].on_loop
    assert journal.names == ["cancelled", "closed"]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_one_whose_client_leaves_while_it_is_sent_is_closed(
    app: flask.Flask, journal: Journal, kind: str
) -> None:
    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            await asyncio.sleep(0.001)
            journal.note("closed")

    kinds_of_views(app, body, kind)
    client = Client()
    client.reads.clear()
    request = begin(FlaskToAsgi(app), client=client)
    await client.until(lambda client: client.sent)
    await asyncio.sleep(0.01)
    client.leave()
    client.reads.set()
    await asyncio.wait_for(request.end(), 3)

    assert "closed" in journal


async def test_a_slow_reader_holds_it_back(app: flask.Flask) -> None:
    made = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield b"x" * 1000

    kinds_of_views(app, body, "async")
    client = Client()
    client.reads.clear()
    request = begin(FlaskToAsgi(app), client=client)
    await asyncio.sleep(0.05)

    assert made == 1
    client.leave()
    client.reads.set()
    await request.end()


async def test_one_that_never_waits_leaves_the_loop_to_others(app: flask.Flask) -> None:
    """Neither does the server, where the client reads quickly, or has gone."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    kinds_of_views(app, body, "async")

    @app.get("/other")
    async def other() -> str:
        await asyncio.sleep(0)
        return "other"

    bridge = FlaskToAsgi(app)
    request = begin(bridge)

    assert (await fetch(bridge, target=b"/other")).body == b"other"
    request.client.leave()
    await asyncio.wait_for(request.end(), 5)


async def test_send_that_fails_closes_it(app: flask.Flask, journal: Journal) -> None:
    """ASGI 2.4: a server may raise OSError where the client has gone."""

    async def body() -> AsyncIterator[str]:
        try:
            while True:
                yield "a"
        finally:
            journal.note("closed")

    class Gone(Client):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if len(self.sent) > 3:
                raise ConnectionResetError

    kinds_of_views(app, body, "async")
    client = Gone()
    await begin(FlaskToAsgi(app), client=client).end()

    assert len(client.sent) == 4
    assert journal.names == ["closed"]


async def test_write_of_a_stream_raises_where_the_client_has_gone(app: flask.Flask, journal: Journal) -> None:
    async def body() -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            journal.note("cancelled")
        yield "b"

    kinds_of_views(app, body, "async")
    request = begin(FlaskToAsgi(app))
    await request.client.until(lambda client: len(client.sent) == 2)
    request.client.leave()
    await asyncio.wait_for(request.end(), 3)

    assert journal.names == ["cancelled"]
    assert request.client.body == b"a"
    assert issubclass(ClientDisconnected, OSError)
