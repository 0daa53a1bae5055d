# SPDX-License-Identifier: MIT
"""A request whose client has gone leaves the queue for a thread, and is not run."""

import asyncio
import threading
from collections.abc import Iterable, Iterator

import pytest

from ashapp.bridge.messages.types import Environ, StartResponse
from ashapp.bridge.request import wsgi_call
from ashapp.bridge.wsgi import WsgiToAsgi
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import PATIENCE, eventually


class Application:
    """Blocks at ``/block`` until it is told to go on; notes which paths were run."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.ran: list[str] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.ran.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/block":
            assert self.gate.wait(PATIENCE)
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setattr(wsgi_call, "_WATCH_DELAY", 0.01)
    application = Application()
    yield application
    application.gate.set()


async def block(app: Application, bridge: WsgiToAsgi) -> "asyncio.Task[Client]":
    task = asyncio.create_task(fetch(bridge, target=b"/block"))
    await eventually(lambda: app.ran == ["/block"])
    return task


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"100000")]], ids=["no body", "body"])
async def test_a_request_whose_client_has_gone_is_not_run(
    app: Application, headers: list[tuple[bytes, bytes]]
) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    blocker = await block(app, bridge)
    client = Client(more=bool(headers))
    call = bridge(http_scope("POST", b"/left", headers), client.receive, client.send)
    task = asyncio.create_task(call)
    stays = asyncio.create_task(fetch(bridge, "POST", b"/stays", b"body"))
    await eventually(lambda: bridge.threads.queued == 2)
    client.leave()
    await asyncio.wait_for(task, PATIENCE)
    assert client.sent == []
    assert (bridge.threads.queued, bridge.admission.in_flight) == (1, 2)
    app.gate.set()
    assert (await stays).body == b"body"
    await blocker
    assert app.ran == ["/block", "/stays"]


async def test_a_client_that_leaves_when_its_request_runs_already_changes_nothing(app: Application) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    gate, app.gate = app.gate, threading.Event()
    first = asyncio.create_task(fetch(bridge, target=b"/block"))
    client = Client()
    task = asyncio.create_task(bridge(http_scope("GET", b"/block"), client.receive, client.send))
    await client.until(lambda client: client.asked == 2)  # it is watched
    first_gate, app.gate = app.gate, gate
    first_gate.set()
    await first
    await eventually(lambda: app.ran == ["/block"] * 2)
    client.leave()
    await asyncio.sleep(0.02)
    assert not task.done()
    gate.set()
    await asyncio.wait_for(task, PATIENCE)
    assert bridge.admission.in_flight == 0


async def test_a_client_that_waits_for_100_continue_is_not_asked_for_its_body(app: Application) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    blocker = await block(app, bridge)
    client = Client(b"body")
    scope = http_scope("POST", b"/", [(b"expect", b"100-continue"), (b"content-length", b"4")])
    task = asyncio.create_task(bridge(scope, client.receive, client.send))
    watched = Client()
    other = asyncio.create_task(bridge(http_scope("GET", b"/"), watched.receive, watched.send))
    await watched.until(lambda client: client.asked == 2)
    assert client.asked == 0
    app.gate.set()
    await asyncio.gather(task, other, blocker)
    assert client.body == b"body"


async def test_jobs_that_are_no_requests_may_wait_too(app: Application) -> None:
    bridge = WsgiToAsgi(app, threads=1)
    blocker = await block(app, bridge)
    handoff = bridge._pool.call(lambda: "done")
    watched = Client()
    other = asyncio.create_task(bridge(http_scope("GET", b"/"), watched.receive, watched.send))
    await watched.until(lambda client: client.asked == 2)
    app.gate.set()
    await asyncio.gather(other, blocker)
    assert handoff.result(PATIENCE) == "done"
