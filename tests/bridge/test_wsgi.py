# SPDX-License-Identifier: MIT
import asyncio
import gc
import json
import multiprocessing
import threading
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import asgiref.wsgi
import pytest
from werkzeug.exceptions import RequestEntityTooLarge

from ashapp.bridge.messages.types import Environ, Scope, StartResponse
from ashapp.bridge.request.request_body import RequestBody
from ashapp.bridge.wsgi import DEFAULT_THREADS, WsgiToAsgi
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import PATIENCE, eventually

mark = ContextVar("mark", default="none")


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer with what of the environ can be said in JSON, and with the body."""
    told = {key: value for key, value in environ.items() if isinstance(value, str | bool)}
    told["body"] = environ["wsgi.input"].read().decode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def test_it_stands_in_for_asgirefs() -> None:
    bridge = WsgiToAsgi(echo, 50)
    assert isinstance(bridge, asgiref.wsgi.WsgiToAsgi)
    assert (bridge.wsgi_application, bridge.duplicate_header_limit) == (echo, 50)
    assert WsgiToAsgi(wsgi_application=echo, duplicate_header_limit=None).duplicate_header_limit is None


@pytest.mark.parametrize("application", [None, 5, "module:app", object()])
def test_an_application_can_be_called(application: Any) -> None:
    with pytest.raises(TypeError, match="which can't be called"):
        WsgiToAsgi(application)


def test_there_is_a_thread_at_least() -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        WsgiToAsgi(echo, threads=0)
    assert WsgiToAsgi(echo).threads.size == DEFAULT_THREADS


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("multiprocess", [True, False])
async def test_the_environ_tells_how_it_is_served(threads: int, *, multiprocess: bool) -> None:
    client = await fetch(WsgiToAsgi(echo, threads=threads, multiprocess=multiprocess))
    environ = json.loads(client.body)
    assert environ["wsgi.multithread"] is (threads > 1)
    assert environ["wsgi.multiprocess"] is multiprocess


@pytest.mark.parametrize("parent", [None, object()])
async def test_a_child_process_has_others_beside_it(monkeypatch: pytest.MonkeyPatch, parent: Any) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    environ = json.loads((await fetch(WsgiToAsgi(echo))).body)
    assert environ["wsgi.multiprocess"] is (parent is not None)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([(b"host", b"other")], "host is given more than once"),
        ([(b"content-length", b"x")], "must be a number"),
        ([(b"x-a", b"")] * 101, "Too many duplicate headers"),
    ],
)
async def test_a_request_that_contradicts_itself_is_refused(
    method: str, headers: list[tuple[bytes, bytes]], told: str
) -> None:
    called: list[Environ] = []
    bridge = WsgiToAsgi(lambda environ, start_response: called.append(environ) or [])  # type: ignore[func-returns-value]
    client = await fetch(bridge, method, headers=headers)
    assert client.status == 400
    assert client.complete
    assert client.headers["content-type"] == "application/problem+json"
    assert told in json.loads(client.body)["detail"]
    assert (called, client.asked) == ([], 0)


async def test_duplicates_are_the_options_to_limit() -> None:
    headers = [(b"x-a", b"")] * 101
    assert (await fetch(WsgiToAsgi(echo, 0), headers=headers)).status == 200
    assert (await fetch(WsgiToAsgi(echo, 1), headers=headers[:2])).status == 400


@pytest.mark.parametrize("kind", ["webtransport", "", None])
async def test_an_unknown_scope_is_an_error(kind: Any) -> None:
    client = Client()
    with pytest.raises(ValueError, match="expected 'http', 'websocket' or 'lifespan'"):
        await WsgiToAsgi(echo)({"type": kind}, client.receive, client.send)
    assert (client.sent, client.asked) == ([], 0)


async def test_a_subclass_may_add_to_the_environ() -> None:
    class Own(WsgiToAsgi):
        def build_environ(self, scope: Scope, body: RequestBody) -> Environ:
            return {**super().build_environ(scope, body), "own.key": "value"}

    assert json.loads((await fetch(Own(echo))).body)["own.key"] == "value"


async def test_requests_wait_in_order_for_the_one_thread() -> None:
    order: list[str] = []
    go_on = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert go_on.wait(PATIENCE)
        order.append(environ["QUERY_STRING"])
        start_response("200 OK", [])
        return []

    bridge = WsgiToAsgi(application, threads=1)
    serving = [asyncio.create_task(fetch(bridge, target=b"/?%d" % number)) for number in range(20)]
    await eventually(lambda: bridge._pool.queued == 19)
    go_on.set()
    await asyncio.gather(*serving)
    assert order == [str(number) for number in range(20)]


async def test_a_bridge_that_is_dropped_ends_its_threads() -> None:
    threads: list[threading.Thread] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        threads.append(threading.current_thread())
        start_response("200 OK", [])
        return []

    bridge = WsgiToAsgi(application)
    await fetch(bridge)
    dropped = weakref.ref(bridge)
    del bridge
    await eventually(lambda: [gc.collect(), dropped() is None][1])
    await eventually(lambda: not threads[0].is_alive())


async def test_a_request_whose_thread_cannot_start_fails_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    called: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.append(environ["QUERY_STRING"])
        start_response("200 OK", [])
        return []

    bridge = WsgiToAsgi(application, threads=1)
    client = Client(more=True)
    scope = http_scope("POST", b"/?first", [(b"content-length", b"9")])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await bridge(scope, client.receive, client.send)
    # The server has answered it, so it must not run when there are threads again.
    await fetch(bridge, target=b"/?second")
    assert called == ["second"]
    assert client.sent == []
    assert len(asyncio.all_tasks()) == 1


# -- the length of a body


async def test_a_stream_that_meets_too_long_a_body_is_broken_off() -> None:
    def stream(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"begun"
        yield environ["wsgi.input"].read()

    client = Client(b"12345678", b"9")
    scope = http_scope("POST", b"/", [(b"transfer-encoding", b"chunked")])
    with pytest.raises(RequestEntityTooLarge):
        await WsgiToAsgi(stream, limit_body=8)(scope, client.receive, client.send)
    assert client.status == 200
    assert not client.complete
