# SPDX-License-Identifier: MIT
import asyncio
import gc
import json
import multiprocessing
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import asgiref.wsgi
import flask
import pytest
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.messages.types import Environ, Scope, StartResponse
from ashapp.bridge.request.uploads.input_stream import InputStream
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.usefixtures("impatient")

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
    monkeypatch.setattr(WsgiToAsgi, "has_siblings", True)
    environ = json.loads((await fetch(WsgiToAsgi(echo))).body)
    assert environ["wsgi.multiprocess"] is True


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
        def build_environ(self, scope: Scope, body: InputStream) -> Environ:
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
    await eventually(lambda: bridge.threads.queued == 19)
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


async def test_a_request_whose_thread_cannot_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
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
        await bridge(scope, client.receive, client.send)
    assert client.status == 503
    assert b"The service is busy: can't start new thread." in client.body
    # It has been answered, so it must not run when there are threads again.
    await fetch(bridge, target=b"/?second")
    assert called == ["second"]
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


def bridge_of(kind: str, **options: Any) -> WsgiToAsgi:
    return (
        FlaskToAsgi(flask.Flask("app"), **options) if kind == "flask" else WsgiToAsgi(NotFound(), **options)
    )


@pytest.mark.parametrize("kind", ["wsgi", "flask"])
def test_an_old_keyword_works_and_warns_where_it_is_used(kind: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bridge = bridge_of(kind, max_in_flight=1, max_queued=2, max_body=3, max_buffered=4)
    limits = (bridge.admission.limit_in_flight, bridge.admission.limit_queue, bridge.limit_body)
    assert (*limits, bridge.intake.budget.limit) == (1, 2, 3, 4)
    assert {warning.category for warning in caught} == {DeprecationWarning}
    assert {warning.filename for warning in caught} == {__file__}
    assert "max_queued is called limit_queue now" in {str(warning.message) for warning in caught}


def test_both_names_of_a_keyword_at_once_are_refused() -> None:
    with pytest.raises(TypeError, match="max_body is the old name of limit_body: give limit_body alone"):
        bridge_of("wsgi", max_body=1, limit_body=1)


# The threads of the pool end in the middle of the collection, by the finalizer of the pool. Then greenlet
# releases what it kept for them, and can't see the frames of the traceback that the collector has in hand.
PROGRAM = """
import asyncio, gc, time
from ashapp import WsgiToAsgi

def application(environ, start_response):
    raise ValueError("from the application")

async def receive():
    return {"type": "http.request"}

async def send(message):
    pass

class Slow:
    def __del__(self):
        time.sleep(0.05)
        sum(range(1000))

SCOPE = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}

gc.disable()
for _ in range(5):
    bridge = WsgiToAsgi(application)
    try:
        asyncio.run(bridge(SCOPE, receive, send))
    except ValueError as error:
        bridge.garbage = error, bridge, Slow()
    del bridge
    gc.collect()
"""


def test_a_traceback_may_outlive_the_thread_that_it_comes_from() -> None:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, check=False
    )
    assert (process.returncode, process.stderr) == (0, "")
