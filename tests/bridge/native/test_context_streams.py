# SPDX-License-Identifier: MIT
"""``stream_with_context`` over async generators: the request is there in each step, as with a sync one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import Client, fetch
from tests.support.flask import begin
from tests.support.journal import Journal

Body = Callable[[], Any]
# Typed for sync generators only.
stream_with_context: Callable[[Any], Any] = flask.stream_with_context


def wrapped(body: Body) -> Any:
    return stream_with_context(body())


def decorated(body: Body) -> Any:
    return stream_with_context(body)()


def in_a_response(body: Body) -> Any:
    return flask.Response(stream_with_context(body()), mimetype="text/event-stream")


def decorated_in_a_response(body: Body) -> Any:
    return flask.Response(stream_with_context(body)())


def in_a_tuple(body: Body) -> Any:
    return stream_with_context(body()), 200


def made_by_flask(body: Body) -> Any:
    return flask.make_response(stream_with_context(body()))


def as_an_iterator(body: Body) -> Any:
    class Items:
        def __init__(self) -> None:
            self.items = body()

        def __aiter__(self) -> "Items":
            return self

        async def __anext__(self) -> Any:
            return await anext(self.items)

    return stream_with_context(Items())


WAYS = [wrapped, decorated, in_a_response, decorated_in_a_response, in_a_tuple, made_by_flask, as_an_iterator]


def add_view(app: flask.Flask, make: Callable[[], Any], kind: str) -> None:
    async def view() -> Any:
        await asyncio.sleep(0)
        flask.g.name = "g"
        flask.session["name"] = "session"
        return make()

    def sync_view() -> Any:
        flask.g.name = "g"
        flask.session["name"] = "session"
        return make()

    app.add_url_rule("/<word>", "view", lambda word: sync_view())
    if kind == "async":

        async def async_view(word: str) -> Any:
            return await view()

        app.view_functions["view"] = async_view


@pytest.fixture(params=["async", "sync"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("way", WAYS)
async def test_each_step_has_the_context(
    app: flask.Flask, journal: Journal, way: Callable[[Body], Any], kind: str
) -> None:
    async def body() -> AsyncIterator[str]:
        for number in range(3):
            await asyncio.sleep(0)
            journal.note("step")
            yield f"{flask.request.path} {flask.g.name} {flask.session['name']} {number}|"

    add_view(app, lambda: way(body), kind)
    client = await fetch(FlaskToAsgi(app), target=b"/path")

    assert client.body == b"/path g session 0|/path g session 1|/path g session 2|"
    assert client.complete
    assert all(entry.on_loop for entry in journal.entries)


async def test_it_tears_down_as_a_sync_one(app: flask.Flask, journal: Journal, kind: str) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("request", error)

    @app.teardown_appcontext
    async def teardown_async(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        journal.note("application", error)

    async def body() -> AsyncIterator[str]:
        journal.note("begin")
        yield "a"
        journal.note("end")

    def sync_body() -> Iterator[str]:
        journal.note("begin")
        yield "a"
        journal.note("end")

    add_view(app, lambda: wrapped(sync_body if "sync" in flask.request.args else body), kind)
    bridge = FlaskToAsgi(app)

    await fetch(bridge, target=b"/path?sync=1")
    expected = journal.names
    journal.clear()
    await fetch(bridge, target=b"/path")

    assert journal.names == expected
    assert expected[-2:] == ["request", "application"]
    assert not any(entry.on_loop for entry in journal.entries if entry.name == "request")


async def test_it_ends_with_its_client(app: flask.Flask, journal: Journal, kind: str) -> None:
    waits = asyncio.Event()

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("teardown", error)

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
            journal.note("closed", flask.request.path)

    add_view(app, lambda: wrapped(body), kind)
    request = begin(FlaskToAsgi(app), target=b"/path")
    await asyncio.wait_for(waits.wait(), 20)
    request.client.leave()
    client = await request.end()

    assert not client.complete
    assert journal.names[-3:] == ["cancelled", "closed", "teardown"]
    assert journal["closed"].value == "/path"


async def test_it_ends_at_a_yield(app: flask.Flask, journal: Journal, kind: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            await asyncio.sleep(0.001)
            journal.note("closed", flask.request.path)

    add_view(app, lambda: wrapped(body), kind)
    client = Client()
    client.reads.clear()
    request = begin(FlaskToAsgi(app), client=client, target=b"/path")
    await client.until(lambda client: client.sent)
    await asyncio.sleep(0.01)
    client.leave()
    client.reads.set()
    await request.end()

    assert journal["closed"].value == "/path"


async def test_one_that_fails_is_cut_off(app: flask.Flask, journal: Journal, kind: str) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("teardown", error)

    async def body() -> AsyncIterator[str]:
        yield "a"
        raise ZeroDivisionError(flask.request.path)

    add_view(app, lambda: wrapped(body), kind)
    request = begin(FlaskToAsgi(app), target=b"/path")

    with pytest.raises(ZeroDivisionError, match="/path"):
        await request.end()
    assert not request.client.complete
    assert isinstance(journal.entries[-1].value, ZeroDivisionError)


async def test_head_leaves_it_unread(app: flask.Flask, journal: Journal, kind: str) -> None:
    async def body() -> AsyncIterator[str]:
        journal.note("begin")
        yield "a"

    add_view(app, lambda: wrapped(body), kind)

    assert (await fetch(FlaskToAsgi(app), "HEAD", b"/path")).status == 200
    assert journal.names == []


async def test_many_at_once_see_their_own(app: flask.Flask, kind: str) -> None:
    async def body() -> AsyncIterator[str]:
        for _ in range(3):
            await asyncio.sleep(0.001)
            yield flask.request.path

    add_view(app, lambda: wrapped(body), kind)
    bridge = FlaskToAsgi(app)
    clients = await asyncio.gather(*(fetch(bridge, target=b"/%d" % number) for number in range(10)))

    assert [client.body for client in clients] == [b"/%d" % number * 3 for number in range(10)]


async def test_without_it_the_context_is_gone(app: flask.Flask, kind: str) -> None:
    """As with a sync generator, in Flask."""

    async def body() -> AsyncIterator[str]:
        yield str(flask.has_request_context())

    add_view(app, body, kind)

    assert (await fetch(FlaskToAsgi(app), target=b"/path")).body == b"False"


async def test_a_decorator_between_flask_and_an_async_generator(app: flask.Flask) -> None:
    async def view() -> AsyncIterator[str]:
        for _ in range(2):
            await asyncio.sleep(0)
            yield flask.request.path

    app.get("/")(stream_with_context(view))

    assert (await fetch(FlaskToAsgi(app))).body == b"//"
