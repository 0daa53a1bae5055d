# SPDX-License-Identifier: MIT
import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.health.state import Health, Phase
from ashapp.server.serving import accept_queue, draining_server
from ashapp.server.serving.accept_queue import accept_queued
from ashapp.server.serving.draining_server import DrainingServer
from ashapp.server.settings.loading import load
from tests.support.client import Address, Connection
from tests.support.server import EACH_ONCE, Combination
from tests.support.waiting import PATIENCE, until

GET = b"GET /now HTTP/1.1\r\nHost: localhost\r\n\r\n"
#: More than a client takes that does not read, and less than the buffers of a kernel hold.
SIZE = 300_000


class Ended(Exception):  # noqa: N818 - what is expected
    """A response that had begun was cancelled: there is no more to say."""


class Application:
    """Answers at once, or (``/held``, ``/begun``, ``/stubborn``) when ``released`` is set."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.began = threading.Event()
        self.events: list[str] = []
        self.shutdown_takes = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        body = bytes(SIZE) if scope["path"] == "/large" else scope["path"].encode()
        length = b"%d" % len(body)
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
        if scope["path"] == "/begun":
            await send(start)
        if scope["path"] not in {"/now", "/large"}:
            self.began.set()
            try:
                await self.wait(scope["path"])
            except Ended:
                return
        if scope["path"] != "/begun":
            await send(start)
        await send({"type": "http.response.body", "body": body})

    async def live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.events.append("shutdown")
        await asyncio.sleep(self.shutdown_takes)
        await send({"type": "lifespan.shutdown.complete"})

    async def wait(self, path: str) -> None:
        while not self.released.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                self.events.append("cancelled")
                if path == "/begun":
                    raise Ended from None
                if path != "/stubborn":
                    raise


class Running:
    """A server that runs on a thread, and what a test needs of it."""

    def __init__(self, server: DrainingServer, listener: socket.socket, application: Application) -> None:
        self.server = server
        self.application = application
        self.listener = listener
        self.address: Address = listener.getsockname()
        self.thread = threading.Thread(target=server.run, args=([listener],))

    def on_loop(self, function: Any) -> None:
        """Call what is to be called on the loop."""
        self.loop.call_soon_threadsafe(function)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        assert self.server._loop is not None
        return self.server._loop

    def has_ended(self) -> bool:
        self.thread.join(PATIENCE)
        return not self.thread.is_alive()


@contextmanager
def running(combination: Combination = EACH_ONCE[0], **flags: Any) -> Iterator[Running]:
    http, loop = combination
    settings = load({"host": "127.0.0.1", "port": "0", "drain_delay": 0, "stall_timeout": 0, **flags})
    application = Application()
    config = uvicorn.Config(application, log_config=None, http=http, loop=loop, ws="none", lifespan="on")
    server = DrainingServer(config, settings, Health(Phase.RUNNING))
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        run = Running(server, listener, application)
        run.thread.start()
        try:
            until(lambda: server.started)
            yield run
        finally:
            application.released.set()
            server.hurry()
            assert run.has_ended()


@contextmanager
def held(path: str = "/held", **options: Any) -> Iterator[tuple[Running, Connection]]:
    """Run a server with a request in flight, which waits until it is released."""
    with running(**options) as run, Connection(run.address) as connection:
        connection.send_request("GET", path)
        assert run.application.began.wait(PATIENCE)
        yield run, connection


@pytest.fixture(params=EACH_ONCE, ids="-".join)
def combination(request: pytest.FixtureRequest) -> Combination:
    found: Combination = request.param
    return found


@pytest.fixture(autouse=True)
def _short_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining_server, "_IDLE", 0.2)


def is_refused(address: Address) -> bool:
    with socket.socket() as client:
        client.settimeout(5)
        return client.connect_ex(address) != 0


def test_while_it_drains_it_is_not_ready_and_accepts_but_keeps_no_connection(
    combination: Combination,
) -> None:
    with running(combination, drain_delay=600) as run, Connection(run.address) as idle:
        assert idle.request("GET", "/now").head.one("connection") is None
        run.server.drain()
        assert run.server.health.phase is Phase.DRAINING
        for connection in (idle, Connection(run.address)):
            response = connection.request("GET", "/now")
            assert response.status == 200
            assert response.head.one("connection") == "close"
            assert connection.is_closed()
            connection.close()
        run.server.hurry()
        assert run.has_ended()
        assert is_refused(run.address)
    assert run.application.events == ["shutdown"]


def test_a_response_that_has_begun_does_not_end_its_connection_unannounced(combination: Combination) -> None:
    with running(combination) as run, Connection(run.address) as connection:
        connection.send_request("GET", "/begun")
        head = connection.receive_head()
        assert head.one("connection") is None
        run.server.drain()
        until(lambda: is_refused(run.address))
        run.application.released.set()
        assert connection.receive_bytes(6) == b"/begun"
        last = connection.request("GET", "/now")
        assert last.head.one("connection") == "close"
        assert run.has_ended()


@pytest.mark.parametrize("is_first", [True, False])
def test_a_request_that_is_just_arriving_is_answered(combination: Combination, *, is_first: bool) -> None:
    with running(combination) as run, Connection(run.address) as connection:
        assert is_first or connection.request("GET", "/now").status == 200
        connection.send(GET[:20])
        time.sleep(0.1)
        run.server.drain()
        until(lambda: is_refused(run.address))
        time.sleep(0.5)  # for longer than an idle connection would be kept
        connection.send(GET[20:])
        assert connection.receive().status == 200
        assert run.has_ended()


def test_a_response_that_was_not_read_yet_is_not_lost(combination: Combination) -> None:
    with running(combination) as run, Connection(run.address, receive_buffer=4096) as connection:
        connection.send_request("GET", "/large")
        connection.receive_head()
        run.server.drain()
        until(lambda: is_refused(run.address))
        time.sleep(0.5)
        assert not run.loop.is_closed()
        assert len(connection.receive_bytes(SIZE)) == SIZE
        assert run.has_ended()


def test_a_connection_that_fails_to_end_harms_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn:
        """Something like a WebSocket whose handshake went wrong."""

        def __init__(self, connections: set[Any]) -> None:
            self.transport = self
            self.connections = connections
            self.aborted = threading.Event()
            connections.add(self)

        def shutdown(self) -> None:
            raise ValueError

        def abort(self) -> None:
            self.connections.discard(self)
            self.aborted.set()

    def fail(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(accept_queue, "refuse_new", fail)
    with held() as (run, connection):
        stubborn = Stubborn(run.server.server_state.connections)
        run.server.drain()
        assert stubborn.aborted.wait(PATIENCE)
        run.application.released.set()
        assert connection.receive().body == b"/held"
        assert run.has_ended()
    assert run.application.events == ["shutdown"]


def test_idle_connections_are_closed(combination: Combination) -> None:
    with running(combination) as run, Connection(run.address) as unused, Connection(run.address) as used:
        used.request("GET", "/now")
        run.server.drain()
        assert unused.is_closed()
        assert used.is_closed()
        assert run.has_ended()


def test_a_connection_that_waits_to_be_accepted_is_served(
    combination: Combination, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[Connection] = []

    def accept_late(sockets: list[socket.socket]) -> list[socket.socket]:
        late.append(Connection(run.address))
        late[-1].send(GET)
        return accept_queued(sockets)

    monkeypatch.setattr(accept_queue, "refuse_new", lambda *_: None)
    monkeypatch.setattr(accept_queue, "accept_queued", accept_late)
    with running(combination) as run:
        run.server.drain()
        assert run.has_ended()
    with late[0] as connection:
        assert connection.receive().status == 200


@pytest.mark.parametrize(("path", "status"), [("/held", 500), ("/begun", None)])
def test_what_takes_too_long_is_cancelled_and_torn_down_before_the_shutdown(
    combination: Combination, caplog: pytest.LogCaptureFixture, path: str, status: int | None
) -> None:
    """A response that has begun is cut off, which is no error."""
    with held(path, combination=combination, timeout_graceful_shutdown=0) as (run, connection):
        run.server.drain()
        if status is None:
            connection.receive_head()
            assert connection.is_closed()
        else:
            assert connection.receive().status == status
        assert run.has_ended()
    assert run.application.events == ["cancelled", "shutdown"]
    assert "Cancelled 1 request in flight: timeout_graceful_shutdown is over" in caplog.messages
    if status is None:
        assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_what_will_not_be_cancelled_does_not_hinder_the_shutdown() -> None:
    with held("/stubborn", timeout_graceful_shutdown=0, timeout_lifespan_shutdown=0.5) as (run, connection):
        run.server.drain()
        until(lambda: "shutdown" in run.application.events)
        assert connection.is_closed()
        run.application.released.set()
        assert run.has_ended()


def test_a_shutdown_that_takes_too_long_is_left(caplog: pytest.LogCaptureFixture) -> None:
    with running(timeout_lifespan_shutdown=0.2) as run:
        run.application.shutdown_takes = 600
        run.server.drain()
        assert run.has_ended()
    assert "The application was not shut down within 0.2 s" in caplog.messages


def test_one_that_retires_leaves_the_listener_to_others_and_keeps_idle_connections() -> None:
    with running(timeout_graceful_shutdown=60) as run, Connection(run.address) as connection:
        connection.request("GET", "/now")
        with run.listener.dup() as of_another:
            run.on_loop(run.server.retire)
            until(lambda: run.listener.fileno() == -1)
            time.sleep(0.5)  # for longer than an idle connection would be kept by one that drains
            with Connection(run.address):
                of_another.settimeout(PATIENCE)
                of_another.accept()[0].close()
            assert run.server.health.phase is Phase.RUNNING
            last = connection.request("GET", "/now")
            assert last.head.one("connection") == "close"
            assert run.has_ended()


def test_a_service_may_end_while_one_retires() -> None:
    with held(drain_delay=600) as (run, connection):
        run.on_loop(run.server.retire)
        until(lambda: run.listener.fileno() == -1)
        run.server.drain()
        run.application.released.set()
        assert connection.receive().body == b"/held"
        assert run.has_ended()


@pytest.mark.parametrize("flags", [{"fd": 0}, {"reload": True}])
def test_a_listener_that_others_use_is_left_as_it_is(flags: dict[str, Any]) -> None:
    with running(**flags) as run, run.listener.dup() as of_another:
        run.server.drain()
        assert run.has_ended()
        with Connection(run.address):
            of_another.settimeout(PATIENCE)
            of_another.accept()[0].close()
