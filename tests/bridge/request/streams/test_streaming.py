# SPDX-License-Identifier: MIT
"""Rules 8, 9 and 18: what a stream sends, where it runs, and how it ends; what of it waits for a client."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.messages.errors import ClientDisconnected
from ashapp.bridge.messages.types import Environ, StartResponse
from ashapp.bridge.request.output_queue import PIECE, WriteBehind
from ashapp.bridge.wsgi import WsgiToAsgi
from tests.bridge.request.streams.conftest import Stream
from tests.support.asgi import Client, fetch
from tests.support.flask import begin
from tests.support.journal import Journal
from tests.support.waiting import eventually, until_set

HAS_CONTEXT = {"sync, context", "async, context", "view"}


async def test_the_request_is_there_only_by_its_context(
    app: flask.Flask, journal: Journal, stream: Stream, form: str
) -> None:
    """As in Flask. Then it is torn down after the end."""
    app.teardown_request(lambda _: journal.note("teardown"))
    app.before_request(lambda: vars(flask.g).update(word="g") or flask.session.update(word="session"))

    def look() -> str:
        if not flask.has_request_context():
            return "- "
        return f"{flask.request.path} {flask.g.word} {flask.session['word']} "

    stream.script = [look, look]
    client = await fetch(FlaskToAsgi(app))
    assert client.body == (b"/ g session " if form in HAS_CONTEXT else b"- ") * 2
    assert journal["closed"].value == ("/" if form in HAS_CONTEXT else False)
    assert (journal.names[-1] == "teardown") == (form in HAS_CONTEXT)
    assert not any(entry.on_loop for entry in journal.entries if entry.name == "teardown")


async def test_many_at_once_see_their_own(app: flask.Flask, stream: Stream, form: str) -> None:
    stream.script = [lambda: flask.request.args["n"] if form in HAS_CONTEXT else "-"] * 3
    bridge = FlaskToAsgi(app)
    clients = await asyncio.gather(*(fetch(bridge, target=b"/?n=%d" % number) for number in range(10)))
    expected = [b"%d" % number * 3 if form in HAS_CONTEXT else b"---" for number in range(10)]
    assert [client.body for client in clients] == expected


@pytest.mark.parametrize("script", [[], [""]], ids=["no item", "an empty item"])
async def test_an_empty_one(app: flask.Flask, stream: Stream, script: list[str]) -> None:
    stream.script = script
    client = await fetch(FlaskToAsgi(app))
    assert (client.status, client.body, client.complete) == (200, b"", True)


@pytest.mark.parametrize("first", [["a"], []], ids=["later", "at once"])
@pytest.mark.parametrize("failure", [ZeroDivisionError(), None, 7], ids=["error", "None", "number"])
async def test_one_that_fails_is_cut_off(
    app: flask.Flask, journal: Journal, stream: Stream, form: str, first: list[str], failure: Any
) -> None:
    app.teardown_request(lambda error: journal.note("teardown", error))
    stream.script = [*first, failure]
    request = begin(FlaskToAsgi(app))
    with pytest.raises((ZeroDivisionError, TypeError)):
        await request.end()
    assert [message["body"] for message in request.client.sent[1:]] == ([b"a"] if first else [])
    assert not (first and request.client.complete)
    assert "closed" in journal
    if form in HAS_CONTEXT and isinstance(failure, Exception):
        assert journal.entries[-1].value is failure


async def test_head_leaves_it_unread(app: flask.Flask, journal: Journal, stream: Stream) -> None:
    stream.script = ["a"]
    client = await fetch(FlaskToAsgi(app), "HEAD")
    assert (client.status, client.body, client.complete) == (200, b"", True)
    assert journal.names == []


async def test_head_closes_an_iterator_that_is_no_generator(
    app: flask.Flask, journal: Journal, add_view: Callable[..., None]
) -> None:
    class Body:
        def __aiter__(self) -> "Body":
            return self

        async def __anext__(self) -> str:
            raise AssertionError

        async def aclose(self) -> None:
            journal.note("closed")

    add_view(Body)
    assert (await fetch(FlaskToAsgi(app), "HEAD")).complete
    assert journal["closed"].on_loop


# -- the client's pace


@pytest.mark.parametrize("first", [["a"], []], ids=["later", "at once"])
async def test_one_that_waits_ends_where_the_client_leaves(
    app: flask.Flask, journal: Journal, stream: Stream, form: str, first: list[str]
) -> None:
    """An async one is cancelled where it waits; a sync one is closed when it yields."""
    go = threading.Event()
    stream.script = itertools.chain(first, [go], itertools.repeat("c"))
    request = begin(FlaskToAsgi(app))
    await until_set(stream.waits)
    request.client.leave()
    if form.startswith("sync"):
        await asyncio.sleep(0.01)
        go.set()
    client = await asyncio.wait_for(request.end(), 5)
    assert not (client.sent and client.complete)
    ending = "GeneratorExit" if form.startswith("sync") else "CancelledError"
    assert journal.names == [ending, "closed"]
    assert journal["closed"].value == ("/" if form in HAS_CONTEXT else False)
    assert journal["closed"].on_loop == (not form.startswith("sync"))


async def test_one_that_never_waits_leaves_the_loop_to_others(app: flask.Flask, stream: Stream) -> None:
    """Neither does the server, where the client reads quickly, or has gone."""
    stream.script = itertools.repeat(b"x")

    @app.get("/other")
    async def other() -> str:
        await asyncio.sleep(0)
        return "other"

    bridge = FlaskToAsgi(app)
    request = begin(bridge)
    assert (await fetch(bridge, target=b"/other")).body == b"other"
    request.client.leave()
    await asyncio.wait_for(request.end(), 5)


async def test_send_that_fails_closes_it(app: flask.Flask, journal: Journal, stream: Stream) -> None:
    """ASGI 2.4: a server may raise OSError where the client has gone."""

    class Gone(Client):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if len(self.sent) > 3:
                raise ConnectionResetError

    stream.script = itertools.repeat("a")
    client = Gone()
    await begin(FlaskToAsgi(app), client=client).end()
    assert len(client.sent) == 4
    assert journal.names[-1] == "closed"


async def test_one_that_goes_on_after_its_cancellation_is_told_at_its_next_item(
    app: flask.Flask, journal: Journal, add_view: Callable[..., None]
) -> None:
    async def body() -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            journal.note("cancelled")
        yield "b"

    add_view(body)
    request = begin(FlaskToAsgi(app))
    await request.client.until(lambda client: len(client.sent) == 2)
    request.client.leave()
    await asyncio.wait_for(request.end(), 5)
    assert journal.names == ["cancelled"]
    assert request.client.body == b"a"
    assert issubclass(ClientDisconnected, OSError)


# -- past the end by Content-Length


def of_length(length: int, body: Callable[[], Any]) -> Callable[[], flask.Response]:
    return lambda: flask.Response(body(), headers={"Content-Length": str(length)})


async def test_one_whose_length_is_reached_runs_to_its_end_in_its_task(
    app: flask.Flask, journal: Journal, add_view: Callable[..., None]
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

    add_view(of_length(2, body))
    request = begin(FlaskToAsgi(app))
    await request.client.until(lambda client: client.complete)
    assert "end" not in journal
    request.client.leave()
    go.set()
    client = await request.end()
    assert client.body == b"ab"
    assert journal.names == ["task", "task", "end"]
    assert journal.entries[0].value is journal.entries[1].value


@pytest.mark.parametrize("pause", [0, 3600], ids=["endless", "stuck"])
async def test_one_that_goes_on_for_ever_past_its_length_is_closed(
    app: flask.Flask,
    journal: Journal,
    add_view: Callable[..., None],
    pause: float,
    monkeypatch: pytest.MonkeyPatch,
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

    add_view(of_length(1, body))
    client = await fetch(FlaskToAsgi(app))
    assert (client.body, client.complete) == (b"a", True)
    assert journal.names == ["closed"]


async def test_a_time_out_of_its_own_past_its_length_is_logged_as_such(
    app: flask.Flask, add_view: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    add_view(of_length(1, body))
    assert (await fetch(FlaskToAsgi(app))).complete
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [TimeoutError]


# -- what is complete


def test_a_part_of_memory_is_for_all_of_them_together() -> None:
    behind = WriteBehind(lambda: 800)
    assert [behind.take(size) for size in (60, 41, 40)] == [True, False, True]
    behind.give_back(60)
    assert [behind.take(60), behind.held] == [True, 100]


class Body(list[bytes]):
    """A list that tells when it is closed."""

    closed: threading.Event

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("parts", [1, 16], ids=["whole", "parts"])
@pytest.mark.parametrize("end", ["behind", "read", "cancel"])
async def test_a_slow_reader_of_what_is_complete_holds_a_thread_only_past_the_bound(
    end: str, parts: int
) -> None:
    closed = threading.Event()
    size = 16 * PIECE

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(size))])
        body = Body([bytes(size // parts)] * parts)
        body.closed = closed
        return body

    bridge = WsgiToAsgi(app, threads=1)
    if end != "behind":
        bridge.service.behind = WriteBehind(lambda: 0)
    client = Client()
    client.reads.clear()
    request = begin(bridge, client=client)
    await client.until(lambda client: client.sent)
    if end == "behind":
        await until_set(closed)
        await eventually(lambda: bridge.threads.busy == 0)
        assert not client.complete
    else:
        assert bridge.threads.busy == 1
        assert not closed.is_set()
    if end == "cancel":
        request.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request.end()
    else:
        client.reads.set()
        assert len((await request.end()).body) == size
    await until_set(closed)
    await eventually(lambda: bridge.threads.busy == 0)
    assert bridge.service.behind.held == 0
