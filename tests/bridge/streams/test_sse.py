# SPDX-License-Identifier: MIT
"""Streams of server-sent events: what becomes of their sources."""

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import flask
import pytest

from ashapp import Event, FlaskToAsgi, sse
from ashapp.bridge.admission.departures import Departures
from ashapp.bridge.streams.async_stream import AsyncStream
from ashapp.bridge.streams.event import HEARTBEAT
from ashapp.testing import AsyncClient
from tests.support.flask import since
from tests.support.waiting import eventually


class Source:
    """Makes sources of either kind, and notes what becomes of them."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async
        self.produced = 0
        self.closed = 0
        self.last_id: str | None = "not asked"

    def __call__(self, last_id: str | None = None) -> Any:
        self.last_id = last_id
        return self.asynchronous() if self.is_async else self.sync()

    async def asynchronous(self) -> AsyncIterator[Any]:
        try:
            for item in self.items():
                await asyncio.sleep(item if isinstance(item, float) else 0)
                yield item
        finally:
            self.closed += 1

    def sync(self) -> Iterator[Any]:
        try:
            for item in self.items():
                time.sleep(item if isinstance(item, float) else 0)
                yield item
        finally:
            self.closed += 1

    def items(self) -> Iterator[Any]:
        while True:
            self.produced += 1
            yield self.produced


class Finite(Source):
    def items(self) -> Iterator[Any]:
        yield from ["text", {"n": 1}, Event("last", id="3")]


class Rare(Source):
    def items(self) -> Iterator[Any]:
        yield from ["first", 0.6, "second"]


class Failing(Source):
    def items(self) -> Iterator[Any]:
        yield "first"
        raise KeyError("no luck")


class Exiting(Source):
    def items(self) -> Iterator[Any]:
        yield "first"
        raise SystemExit("no luck")


class Asking(Source):
    def items(self) -> Iterator[Any]:
        yield f"{flask.request.path} {flask.request.args['who']}"


class Subscription:
    """A source of either kind that is open before anybody iterates it, and whose end may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.items = iter(["first"])
        self.closed = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self.items)

    def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error


class AsyncSubscription(Subscription):
    __iter__ = None  # type: ignore[assignment]

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        for item in self.items:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.close()


Make = Callable[[type[Source]], Source]


@pytest.fixture(params=["async", "sync"])
def make(request: pytest.FixtureRequest) -> Make:
    return lambda kind: kind(is_async=request.param == "async")


def serve(source: Any, **options: Any) -> FlaskToAsgi:
    app = flask.Flask(__name__)

    @app.get("/sync")
    def sync() -> Any:
        return sse(source, **options)

    @app.get("/async")
    async def asynchronous() -> Any:
        return sse(source, **options)

    return FlaskToAsgi(app)


@pytest.mark.parametrize("path", ["/sync", "/async"])
async def test_a_stream_ends_with_its_source(make: Make, path: str) -> None:
    source = make(Finite)
    async with AsyncClient(serve(source, retry=2, heartbeat=math.inf)) as client:
        answer = await client.get(path, headers={b"Last-Event-ID": "é".encode()})
    assert answer.text == 'retry: 2000\n\ndata: text\n\ndata: {"n": 1}\n\nid: 3\ndata: last\n\n'
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    assert (source.last_id, source.closed) == ("é", 1)


@pytest.mark.parametrize("path", ["/sync", "/async"])
async def test_a_source_is_closed_when_its_client_goes(make: Make, path: str) -> None:
    source = make(Source)
    async with AsyncClient(serve(source)) as client:
        async with client.stream("GET", path) as answer:
            async for line in answer.aiter_lines():
                if line == "data: 5":
                    break
        await eventually(lambda: source.closed == 1)
    assert source.produced < 100  # what nobody takes is not produced


@pytest.mark.parametrize("path", ["/sync", "/async"])
@pytest.mark.parametrize("kind", [Subscription, AsyncSubscription])
async def test_a_source_that_nobody_takes_from_is_closed(kind: type[Subscription], path: str) -> None:
    source = kind()
    app = serve(lambda _last: source)
    async with AsyncClient(app) as client:
        assert (await client.head(path)).text == ""
        assert source.closed == 1
        app.departures.drain(1)
        assert (await client.get(path)).text.startswith("retry: ")
    assert source.closed == 2


@pytest.mark.parametrize("kind", [Subscription, AsyncSubscription])
async def test_a_source_whose_end_fails_ends_the_stream(kind: type[Subscription]) -> None:
    source = kind(KeyError("no luck"))
    async with AsyncClient(serve(source, heartbeat=0.1)) as client:
        with pytest.raises(KeyError, match="no luck"):
            await client.get("/async")
    assert source.closed == 1


async def test_a_client_that_takes_nothing_is_owed_no_comments() -> None:
    stream = AsyncStream(Rare(is_async=True).asynchronous(), Departures(), HEARTBEAT, 0.02)
    assert [await anext(stream), await anext(stream)] == [HEARTBEAT, b"data: first\n\n"]
    await asyncio.sleep(0.2)
    begin = time.monotonic()
    assert [await anext(stream) for _ in range(5)] == [HEARTBEAT] * 5
    assert time.monotonic() - begin > 0.06  # one has waited for it, the others come one by one
    await stream.aclose()


async def test_a_silent_stream_sends_comments(make: Make) -> None:
    async with AsyncClient(serve(make(Rare), heartbeat=0.05)) as client:
        blocks = (await client.get("/async")).text.split("\n\n")
    assert blocks.index("data: first") < blocks.index("data: 0.6") < blocks.index("data: second")
    assert blocks.count(":") > 3


@since("3.1.2", "the context of a stream can be on another thread since Flask 3.1.2")
async def test_a_source_may_have_the_request(make: Make) -> None:
    source = make(Asking)
    app = flask.Flask(__name__)

    @app.get("/given")
    async def given() -> Any:
        return sse(flask.stream_with_context(source()))

    @app.get("/called")
    def called() -> Any:
        return sse(lambda _last_id: flask.stream_with_context(source()))

    async with AsyncClient(FlaskToAsgi(app)) as client:
        for path in ("/given", "/called"):
            assert (await client.get(f"{path}?who=ada")).text == f":\n\ndata: {path} ada\n\n"
    assert source.closed == 2


@pytest.mark.parametrize(("kind", "error"), [(Failing, KeyError), (Exiting, RuntimeError)])
async def test_an_exception_of_the_source_ends_the_stream(
    make: Make, kind: type[Source], error: type[Exception]
) -> None:
    source = make(kind)
    async with AsyncClient(serve(source)) as client:
        with pytest.raises(error, match="no luck"):
            await client.get("/async")
    assert source.closed == 1


@pytest.mark.parametrize("path", ["/sync", "/async"])
async def test_streams_leave_one_by_one_when_the_service_drains(make: Make, path: str) -> None:
    source = make(Rare) if path == "/sync" else make(Source)
    app = serve(source)
    ends: list[float] = []

    async def follow(client: AsyncClient) -> str:
        async with client.stream("GET", path) as answer:
            text = "".join([part async for part in answer.aiter_text()])
        ends.append(time.monotonic())
        return text

    async with AsyncClient(app) as client:
        streams = [asyncio.create_task(follow(client)) for _ in range(8)]
        await eventually(lambda: len(app.departures.members) == 8)
        begin = time.monotonic()
        app.departures.drain(0.4)
        last_blocks = [text.split("\n\n")[-2] for text in await asyncio.gather(*streams)]
        late = (await client.get(path)).text
    assert all(block.startswith("retry: ") for block in last_blocks)
    assert late.startswith("retry: ")
    assert ends[-1] - begin > 0.3  # spread over the time
    assert not app.departures.members


async def test_idle_streams_of_async_sources_hold_no_thread() -> None:
    async def silent() -> AsyncIterator[str]:
        await asyncio.sleep(60)
        yield "never"

    flask_app = serve(lambda _last: silent()).wsgi_application
    flask_app.before_request(lambda: None)  # which needs a thread while it runs
    app = FlaskToAsgi(flask_app, async_threads=10)
    async with AsyncClient(app, timeout=60) as client:
        async with asyncio.TaskGroup() as group:
            before = threading.active_count()
            streams = [group.create_task(_first_line(client)) for _ in range(200)]
            await eventually(lambda: len(app.departures.members) == 200)
            assert threading.active_count() <= before + 10
            for stream in streams:
                stream.cancel()
        await eventually(lambda: not app.departures.members)


async def _first_line(client: AsyncClient) -> None:
    async with client.stream("GET", "/async") as answer:
        async for _ in answer.aiter_lines():
            pass


@pytest.mark.parametrize(
    ("source", "options", "told"),
    [
        (3, {}, "expected an iterable"),
        ([], {"heartbeat": 0}, "heartbeat = 0: expected seconds, above 0"),
        ([], {"heartbeat": math.nan}, "heartbeat = nan: expected seconds, above 0"),
    ],
)
def test_a_wrong_argument_is_told(source: Any, options: dict[str, Any], told: str) -> None:
    with flask.Flask(__name__).test_request_context(), pytest.raises((TypeError, ValueError), match=told):
        sse(source, **options)
