# SPDX-License-Identifier: MIT
"""Rule 18: async generators, in each of the ways in which a view may return one, or be one."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import flask
import pytest
from flask.views import MethodView, View

from ashapp.bridge import FlaskToAsgi
from tests.bridge.request.streams.conftest import with_context
from tests.support.asgi import fetch
from tests.support.flask import begin
from tests.support.journal import Journal
from tests.support.waiting import eventually

AsyncBody = Callable[[], AsyncIterator[Any]]
Items = Callable[..., AsyncIterator[str]]


class Iterable:
    def __init__(self, body: AsyncBody) -> None:
        self._items = body()

    def __aiter__(self) -> "Iterable":
        return self

    async def __anext__(self) -> Any:
        return await anext(self._items)


def response(body: Any) -> flask.Response:
    return flask.Response(body, mimetype="text/plain")


# Each returns what a view does; those of the second table have the context of the request.
WAYS: dict[str, Callable[[AsyncBody], Any]] = {
    "returned": lambda body: body(),
    "in a response": lambda body: response(body()),
    "in a tuple": lambda body: (body(), 201, {"X-Header": "value"}),
    "in a tuple in a response": lambda body: (response(body()), 201),
    "an iterable": Iterable,
    "made by flask": lambda body: flask.make_response(body(), 202),
    "aborted": lambda body: flask.abort(response(body())),
}
CONTEXT_WAYS: dict[str, Callable[[AsyncBody], Any]] = {
    "wrapped": lambda body: with_context(body()),
    "decorated": lambda body: with_context(body)(),
    "wrapped in a response": lambda body: response(with_context(body())),
    "decorated in a response": lambda body: response(with_context(body)()),
    "wrapped in a tuple": lambda body: (with_context(body()), 200),
    "wrapped and made by flask": lambda body: flask.make_response(with_context(body())),
    "a wrapped iterable": lambda body: with_context(Iterable(body)),
}


@pytest.mark.parametrize("way", [*WAYS, *CONTEXT_WAYS])
async def test_an_async_generator_streams(
    app: flask.Flask, journal: Journal, add_view: Callable[..., None], way: str
) -> None:
    async def body() -> AsyncIterator[Any]:
        try:
            yield "text "
            await asyncio.sleep(0)
            yield b"bytes "
            yield flask.request.path if flask.has_request_context() else "-"
        finally:
            await asyncio.sleep(0)
            journal.note("closed")

    add_view(lambda: {**WAYS, **CONTEXT_WAYS}[way](body))
    client = await fetch(FlaskToAsgi(app))
    assert (client.body, client.complete) == (b"text bytes " + (b"-" if way in WAYS else b"/"), True)
    assert journal["closed"].on_loop
    assert "content-length" not in client.headers


@pytest.mark.parametrize("hook", ["async", "sync"])
@pytest.mark.parametrize("body", [b"xy", "async generator"])
async def test_one_that_a_hook_puts_around_the_body(
    app: flask.Flask, journal: Journal, add_view: Callable[..., None], body: Any, hook: str
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
    add_view(lambda: response(inner() if body != b"xy" else body))
    client = await fetch(FlaskToAsgi(app))
    assert (client.status, client.body, client.complete) == (200, b"xy!", True)
    assert journal["closed"].on_loop


# -- views that are generators


def decorated(view: Items) -> Any:
    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapper


def decorated_as_flask_says(view: Items) -> Any:
    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return flask.current_app.ensure_sync(view)(*args, **kwargs)

    return wrapper


def class_based(view: Items, base: Any, name: str) -> Any:
    kind: Any = type("Words", (base,), {name: staticmethod(view)})
    return kind.as_view("words")


def an_object(view: Items) -> Any:
    class Words:
        async def __call__(self, word: str) -> AsyncIterator[str]:
            async for item in view(word):
                yield item

    return Words()


VIEWS: dict[str, Callable[[Items], Any]] = {
    "plain": lambda view: view,
    "decorated": decorated,
    "decorated as Flask says": decorated_as_flask_says,
    "bound": lambda view: type("Views", (), {"own": staticmethod(view)})().own,
    "partial": functools.partial,
    "method view": lambda view: class_based(view, MethodView, "get"),
    "class": lambda view: class_based(view, View, "dispatch_request"),
    "object": an_object,
    "stream_with_context": with_context,
}


@pytest.mark.parametrize("where", ["loop", "thread", "test client", "test client in a loop"])
@pytest.mark.parametrize("kind", VIEWS)
async def test_a_view_that_is_a_generator_has_its_request_until_its_end(
    app: flask.Flask, journal: Journal, kind: str, where: str
) -> None:
    async def words(word: str) -> AsyncIterator[str]:
        try:
            flask.g.count = 0
            yield f"{word} {flask.request.args.get('a')} "
            await asyncio.sleep(0)
            flask.g.count += 1
            yield f"{flask.session.get('name')} {flask.g.count} {flask.url_for('words', word='x')}"
        finally:
            await asyncio.sleep(0)
            journal.note("closed", flask.request.path)

    app.add_url_rule("/<word>", "words", VIEWS[kind](words))
    app.before_request(lambda: flask.session.update(name="session"))
    app.teardown_request(lambda _: journal.note("teardown"))
    if where == "thread":
        inner = app.wsgi_app
        app.wsgi_app = lambda *args: inner(*args)  # type: ignore[method-assign]  # noqa: PLW0108 - middleware
    bridge = FlaskToAsgi(app)

    def get() -> bytes:
        return app.test_client().get("/word?a=b").get_data()

    if where in {"loop", "thread"}:
        body = (await fetch(bridge, target=b"/word?a=b")).body
    else:
        body = get() if where == "test client in a loop" else await asyncio.to_thread(get)
    assert body == b"word b session 1 /x"
    assert journal["closed"].value == "/word"
    assert journal.names[-2:] == ["closed", "teardown"], "as stream_with_context does"


# -- what else a response of an async view may have


async def test_a_file_is_read_on_the_request_thread(
    app: flask.Flask, journal: Journal, add_view: Callable[..., None]
) -> None:
    class File:
        left = 3

        def read(self, size: int) -> bytes:
            journal.note("read")
            self.left -= 1
            return b"x" * 10 if self.left >= 0 else b""

        def close(self) -> None:
            journal.note("close")

    add_view(lambda: flask.send_file(File(), mimetype="text/plain"))  # type: ignore[arg-type]
    client = await fetch(FlaskToAsgi(app))
    assert client.body == b"x" * 30
    assert journal.names == ["read"] * 4 + ["close"]
    assert not any(entry.on_loop for entry in journal.entries)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ["text", "async generator", "sync generator"])
async def test_call_on_close_runs_once_on_the_thread(
    app: flask.Flask,
    journal: Journal,
    add_view: Callable[..., None],
    kind: str,
    method: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And an error of it is logged."""

    async def body() -> AsyncIterator[str]:
        yield "a"

    def close() -> None:
        journal.note("closed")
        raise ZeroDivisionError

    def view() -> flask.Response:
        content: Any = {"text": "a", "async generator": body(), "sync generator": iter(["a"])}[kind]
        response = flask.make_response(content)
        response.call_on_close(close)
        return response

    add_view(view)
    client = await fetch(FlaskToAsgi(app), method)
    assert (client.status, client.complete) == (200, True)
    assert not journal["closed"].on_loop
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


async def test_one_that_is_begun_on_the_thread_goes_on_in_its_task(
    app: flask.Flask, journal: Journal
) -> None:
    async def body() -> AsyncIterator[str]:
        for item in "abc":
            journal.note(item, asyncio.current_task())
            yield item

    @app.get("/")
    async def view() -> Any:
        return body()

    @app.after_request
    def peek(response: flask.Response) -> flask.Response:
        assert next(iter(response.response)) == "a"
        return response

    assert (await fetch(FlaskToAsgi(app))).body == b"bc"
    assert len({entry.value for entry in journal.entries}) == 1


async def test_its_end_is_not_interrupted_where_a_thread_waits_for_it(
    app: flask.Flask, journal: Journal
) -> None:
    go, closing = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[Any]:
        try:
            yield "a"
            yield 7  # which ends the iteration
        finally:
            closing.set()
            await go.wait()
            journal.note("closed")

    app.add_url_rule("/", view_func=lambda: flask.Response(body()))  # type: ignore[arg-type]
    request = begin(FlaskToAsgi(app))
    await asyncio.wait_for(closing.wait(), 20)
    request.client.leave()
    await asyncio.sleep(0.05)
    go.set()
    with suppress(TypeError):
        await request.end()
    await eventually(lambda: journal.names == ["closed"])
