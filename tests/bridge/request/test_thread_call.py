# SPDX-License-Identifier: MIT
"""The parts of a call on a worker thread, and its end at any moment."""

import asyncio
import gc
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pytest

from ashapp.bridge.messages.errors import ClientDisconnected
from ashapp.bridge.messages.types import Environ, StartResponse
from ashapp.bridge.request import thread_call
from ashapp.bridge.request.output_queue import WriteBehind
from ashapp.bridge.wsgi import WsgiToAsgi
from tests.bridge.request.held_application import PLAIN, Application, cancel, nothing_is_left, serve
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import PATIENCE, eventually, until_set

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def app() -> Iterator[Application]:
    application = Application()
    yield application
    application.go_on.set()


# -- cancellation


@pytest.mark.parametrize(("target", "error"), [(b"/wait", type(None)), (b"/read", ClientDisconnected)])
async def test_cancelled_while_the_application_runs(app: Application, target: bytes, error: type) -> None:
    """It is told so where it reads."""
    bridge = WsgiToAsgi(app, threads=1)
    client = Client(b"x", more=True)
    serving = serve(bridge, target, client, headers=[(b"content-length", b"9"), (b"expect", b"100-continue")])
    await until_set(app.entered)
    await client.until(lambda client: client.asked == (2 if target == b"/read" else 0))
    await cancel(serving)
    app.go_on.set()
    await until_set(app.ended)
    assert (type(app.error), app.closed) == (error, target == b"/wait")
    del serving
    await nothing_is_left(app, bridge)


async def test_cancelled_while_queued(app: Application) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    first = serve(bridge, b"/wait")
    await until_set(app.entered)
    second = serve(bridge, b"/quick")
    await eventually(lambda: bridge.threads.queued == 1)
    await cancel(second)
    app.go_on.set()
    await first
    await eventually(lambda: bridge.threads.queued == 0)
    assert app.calls == 1
    del first, second
    await nothing_is_left(app, bridge)


@pytest.mark.parametrize("end", ["cancel", "leave"])
async def test_ended_while_the_response_is_streamed(app: Application, end: str) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    bridge.service.behind = WriteBehind(
        lambda: 0
    )  # responses wait for their clients, as if no memory were left
    client = Client()
    client.reads.clear()
    serving = serve(bridge, b"/stream", client)
    await eventually(lambda: app.produced == 4)
    if end == "cancel":
        await cancel(serving)
    else:
        client.reads.set()
        client.leave()
        await serving
    await until_set(app.ended)
    assert type(app.error) is GeneratorExit
    assert app.closed == 1
    assert app.produced < 20
    assert not client.complete
    del serving
    await nothing_is_left(app, bridge)


async def test_cancelled_while_the_thread_closes(app: Application) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    closing, close = threading.Event(), threading.Event()

    def slow_close() -> None:
        closing.set()
        assert close.wait(PATIENCE)

    app.close = slow_close  # type: ignore[method-assign]
    client = Client()
    serving = serve(bridge, b"/quick", client)
    await until_set(closing)
    await client.until(lambda client: client.complete)
    await asyncio.sleep(0)
    assert not serving.done()
    await cancel(serving)
    close.set()
    del serving
    app.close = lambda: None  # type: ignore[method-assign]
    await nothing_is_left(app, bridge)


async def test_cancelling_at_any_moment_leaves_nothing(app: Application) -> None:
    bridge = WsgiToAsgi(app, threads=2)
    for steps in range(40):
        serving = serve(bridge, [b"/quick", b"/stream"][steps % 2])
        for _ in range(steps // 2):
            await asyncio.sleep(0)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    await nothing_is_left(app, bridge)
    assert app.closed == app.calls


# -- a call that waits for a thread


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ashapp.bridge.request.wsgi_call._WATCH_DELAY", 0.01)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("headers", [[], [(b"content-length", b"100000")]], ids=["no body", "body"])
async def test_a_request_whose_client_has_gone_is_not_run(
    app: Application, headers: list[tuple[bytes, bytes]]
) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    first = serve(bridge, b"/wait")
    await until_set(app.entered)
    client = Client(more=bool(headers))
    leaving = serve(bridge, b"/quick", client, headers=headers)
    staying = serve(bridge, b"/quick")
    await eventually(lambda: bridge.threads.queued == 2)
    client.leave()
    await asyncio.wait_for(leaving, PATIENCE)
    assert client.sent == []
    assert (bridge.threads.queued, bridge.admission.in_flight) == (1, 2)
    app.go_on.set()
    await asyncio.gather(first, staying)
    assert app.calls == 2


@pytest.mark.usefixtures("_quick")
async def test_a_client_that_leaves_when_its_request_runs_already_changes_nothing(app: Application) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    first = serve(bridge, b"/wait")
    await until_set(app.entered)
    client = Client()
    second = serve(bridge, b"/wait", client)
    await client.until(lambda client: client.asked == 2)  # it is watched
    go_on, app.go_on = app.go_on, threading.Event()
    go_on.set()
    await first
    await eventually(lambda: app.calls == 2)
    client.leave()
    await asyncio.sleep(0.02)
    assert not second.done()
    app.go_on.set()
    await asyncio.wait_for(second, PATIENCE)
    assert (app.closed, bridge.admission.in_flight) == (2, 0)


@pytest.mark.usefixtures("_quick")
async def test_a_client_in_the_queue_that_waits_for_100_continue_is_not_asked_for_its_body(
    app: Application,
) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    first = serve(bridge, b"/wait")
    await until_set(app.entered)
    client = Client(b"body")
    headers = [(b"expect", b"100-continue"), (b"content-length", b"4")]
    second = serve(bridge, b"/quick", client, headers=headers)
    watched = Client()
    third = serve(bridge, b"/quick", watched)
    await watched.until(lambda client: client.asked == 2)
    assert client.asked == 0
    app.go_on.set()
    await asyncio.gather(first, second, third)
    assert client.complete


# -- the end of the loop


@pytest.mark.parametrize("target", [b"/quick", b"/stream", b"/read"])
def test_the_thread_outlives_the_loop(app: Application, target: bytes) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    held, hold = threading.Event(), threading.Event()

    def occupy() -> None:
        held.set()
        assert hold.wait(PATIENCE)

    bridge.threads.submit(occupy)

    async def main() -> None:
        client = Client(more=True)
        serving = serve(
            bridge, target, client, headers=[(b"expect", b"100-continue"), (b"content-length", b"1")]
        )
        await until_set(held)
        await eventually(lambda: bridge.threads.queued == 1)
        # Not cancelled, but forgotten: the application is to run when there is no loop any more.
        serving.get_loop().stop()
        await asyncio.sleep(PATIENCE)

    loop = asyncio.new_event_loop()
    task = loop.create_task(main())
    loop.run_forever()
    loop.close()
    hold.set()
    assert app.ended.wait(PATIENCE)
    assert bridge.threads.call(lambda: app.closed).result(PATIENCE) == (target != b"/read")
    assert (
        type(app.error)
        is {b"/quick": type(None), b"/stream": GeneratorExit, b"/read": ClientDisconnected}[target]
    )
    task.get_coro().close()
    del task
    gc.collect()  # so that it is told here of the tasks that the loop left


# -- the time that an application has


async def test_the_stack_of_a_thread_that_takes_too_long_is_logged(
    app: Application, caplog: pytest.LogCaptureFixture
) -> None:
    bridge = WsgiToAsgi(app, threads=1, request_timeout=0.5)
    async with asyncio.timeout(PATIENCE):
        stuck, queued = await asyncio.gather(fetch(bridge, target=b"/wait"), fetch(bridge, target=b"/quick"))
    assert (stuck.status, queued.status) == (504, 504)
    told, other = caplog.messages
    assert told.startswith("'GET /wait' took longer than 0.5 s and is answered with 504; its thread is here:")
    assert 'held_application.py", line' in told
    assert "assert self.go_on.wait(PATIENCE)" in told
    assert other.startswith("'GET /quick' took longer than 0.5 s and is answered with 504; ")
    assert other.endswith("; it has not got one of the 1 threads")
    assert bridge.threads.queued == 0
    app.go_on.set()
    await nothing_is_left(app, bridge)
    assert app.calls == 2


async def test_what_a_thread_has_made_is_sent_though_time_is_up_before_the_loop_knows_of_it(
    app: Application, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = WsgiToAsgi(app, threads=1, request_timeout=0.01)
    entered = app.entered

    def go_on_first(thread: int) -> str:
        app.go_on.set()
        assert app.ended.wait(PATIENCE)
        assert bridge.threads.call(lambda: "next").result(PATIENCE) == "next"
        return "of another request"

    monkeypatch.setattr(thread_call, "stack_of", go_on_first)
    assert (await fetch(bridge, target=b"/wait")).status == 200
    assert entered.is_set()
    assert caplog.messages == []


async def test_small_chunks_that_wait_for_the_client_go_out_together() -> None:
    made = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", PLAIN)
        yield from [bytes(100)] * 1000
        made.set()

    client = Client()
    client.reads.clear()
    serving = asyncio.create_task(WsgiToAsgi(application)(http_scope(), client.receive, client.send))
    assert await asyncio.to_thread(made.wait, PATIENCE)
    client.reads.set()
    await serving
    assert client.complete
    assert [len(message["body"]) for message in client.sent[1:3]] == [65_500, 34_500]
