# SPDX-License-Identifier: MIT
"""Sync bodies of async views: generators and files, pulled on the request thread; and their end."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import Client, fetch
from tests.support.flask import begin
from tests.support.journal import Journal


def add_view(app: flask.Flask, body: Callable[[], Any]) -> None:
    """Add an async view that returns what *body* does."""

    @app.get("/")
    async def view() -> Any:
        await asyncio.sleep(0)
        return body()


async def test_a_sync_generator_is_pulled_on_the_lane(app: flask.Flask, journal: Journal) -> None:
    @app.before_request
    def before() -> None:
        journal.note("before")

    def body() -> Iterator[str]:
        try:
            for number in range(3):
                journal.note(f"pull {number}")
                yield str(number)
        finally:
            journal.note("closed")

    add_view(app, body)

    client = await fetch(FlaskToAsgi(app))

    assert (client.body, client.complete) == (b"012", True)
    assert journal.names == ["before", "pull 0", "pull 1", "pull 2", "closed"]
    assert journal.threads == {journal["before"].thread}
    assert threading.get_ident() not in journal.threads


async def test_it_is_pulled_one_item_at_a_time(app: flask.Flask, journal: Journal) -> None:
    def body() -> Iterator[str]:
        for number in range(1000):
            journal.note(str(number))
            yield "x"

    add_view(app, body)
    client = Client()
    client.reads.clear()
    request = begin(FlaskToAsgi(app), client=client)
    await client.until(lambda client: client.sent)
    await asyncio.sleep(0.02)

    assert journal.names == ["0"]
    client.reads.set()
    assert (await request.end()).body == b"x" * 1000


async def test_one_that_blocks_does_not_block_the_loop(app: flask.Flask) -> None:
    go = threading.Event()

    def body() -> Iterator[str]:
        yield "a"
        go.wait(20)
        yield "b"

    add_view(app, body)
    request = begin(FlaskToAsgi(app))
    await request.client.until(lambda client: len(client.sent) == 2)
    await asyncio.sleep(0.01)
    go.set()

    assert (await request.end()).body == b"ab"


async def test_a_sync_generator_whose_client_leaves_is_closed(app: flask.Flask, journal: Journal) -> None:
    go = threading.Event()

    def body() -> Iterator[str]:
        try:
            while True:
                yield "a"
                go.wait(20)
        except GeneratorExit:
            journal.note("exit")
            raise

    add_view(app, body)
    request = begin(FlaskToAsgi(app))
    await request.client.until(lambda client: len(client.sent) == 2)
    request.client.leave()
    await asyncio.sleep(0.01)
    go.set()
    await asyncio.wait_for(request.end(), 3)

    assert not journal["exit"].on_loop


async def test_a_sync_generator_that_fails_is_cut_off(app: flask.Flask) -> None:
    def body() -> Iterator[str]:
        yield "a"
        raise ZeroDivisionError

    add_view(app, body)
    request = begin(FlaskToAsgi(app))

    with pytest.raises(ZeroDivisionError):
        await request.end()
    assert (request.client.body, request.client.complete) == (b"a", False)


async def test_stream_with_context(app: flask.Flask, journal: Journal) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("teardown")

    @app.get("/")
    async def view() -> Any:
        def body() -> Iterator[str]:
            for number in range(3):
                yield f"{flask.request.path} {number} "
            journal.note("end")

        return flask.stream_with_context(body())

    client = await fetch(FlaskToAsgi(app))

    assert (client.body, client.complete) == (b"/ 0 / 1 / 2 ", True)
    assert journal.names[-2:] == ["end", "teardown"]  # there may be one more before, as in Flask
    assert len(journal.threads) == 1


async def test_stream_with_context_is_left_where_the_client_leaves(
    app: flask.Flask, journal: Journal
) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("teardown")

    @app.get("/")
    async def view() -> Any:
        def body() -> Iterator[str]:
            try:
                while True:
                    yield flask.request.path
            finally:
                journal.note("closed")

        return flask.stream_with_context(body())

    bridge = FlaskToAsgi(app)
    for _ in range(3):
        journal.clear()
        request = begin(bridge)
        await request.client.until(lambda client: len(client.sent) >= 2)
        request.client.leave()
        await asyncio.wait_for(request.end(), 3)
        assert journal.names[-2:] == ["closed", "teardown"]


async def test_a_file_is_read_on_the_lane(app: flask.Flask, journal: Journal) -> None:
    class File:
        left = 3

        def read(self, size: int) -> bytes:
            journal.note("read")
            self.left -= 1
            return b"x" * 10 if self.left >= 0 else b""

        def close(self) -> None:
            journal.note("close")

    @app.get("/")
    async def view() -> flask.Response:
        return flask.send_file(File(), mimetype="text/plain")  # type: ignore[arg-type]

    client = await fetch(FlaskToAsgi(app))

    assert client.body == b"x" * 30
    assert journal.names == ["read"] * 4 + ["close"]
    assert not any(entry.on_loop for entry in journal.entries)


async def test_a_list_is_sent_without_the_lane(app: flask.Flask) -> None:
    @app.get("/")
    async def view() -> flask.Response:
        return flask.Response(["a", "b", "c"])

    before = set(threading.enumerate())

    assert (await fetch(FlaskToAsgi(app))).body == b"abc"
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", ["text", "async generator", "sync generator"])
async def test_call_on_close_runs_once_on_the_lane(
    app: flask.Flask, journal: Journal, form: str, method: str
) -> None:
    async def body() -> AsyncIterator[str]:
        yield "a"

    @app.get("/")
    async def view() -> flask.Response:
        content: Any = {"text": "a", "async generator": body(), "sync generator": iter(["a"])}[form]
        response = flask.make_response(content)
        response.call_on_close(lambda: journal.note("closed"))
        return response

    client = await fetch(FlaskToAsgi(app), method)

    assert (client.status, client.complete) == (200, True)
    assert not journal["closed"].on_loop


async def test_call_on_close_runs_where_the_client_leaves(app: flask.Flask, journal: Journal) -> None:
    async def body() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            journal.note("body closed")

    @app.get("/")
    async def view() -> flask.Response:
        response = flask.make_response(body())
        response.call_on_close(lambda: journal.note("closed"))
        return response

    request = begin(FlaskToAsgi(app))
    await request.client.until(lambda client: len(client.sent) == 2)
    request.client.leave()
    await asyncio.wait_for(request.end(), 3)

    assert journal.names == ["body closed", "closed"]


async def test_call_on_close_that_fails_is_logged(app: flask.Flask, caplog: pytest.LogCaptureFixture) -> None:
    @app.get("/")
    async def view() -> flask.Response:
        response = flask.make_response("a")
        response.call_on_close(lambda: 1 / 0)
        return response

    client = await fetch(FlaskToAsgi(app))

    assert client.complete
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
