# SPDX-License-Identifier: MIT
import signal
import socket
import sys
import threading
import time
from typing import Any

import pytest
import uvicorn

from ashapp.bridge.types import Receive, Scope, Send
from ashapp.server import main_server
from ashapp.server.errors import StartupError
from ashapp.server.health import Health
from ashapp.server.loading import load
from ashapp.server.main_server import MainServer
from tests.support.waiting import PATIENCE, until


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


@pytest.fixture
def abandoned(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note why, or after how many seconds, the process would be given up."""
    calls: list[Any] = []
    monkeypatch.setattr(main_server, "abandon", calls.append)
    monkeypatch.setattr(main_server, "abandon_after", calls.append)
    return calls


def make(**flags: Any) -> MainServer:
    settings = load({"drain_delay": 0, "stall_timeout": 0, **flags})
    return MainServer(uvicorn.Config(application, log_config=None, lifespan="on"), settings, Health())


def start(server: MainServer) -> threading.Thread:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    until(lambda: server.started)
    return thread


def end(server: MainServer, thread: threading.Thread) -> None:
    server.drain()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_process_with_a_stalled_loop_is_given_up(abandoned: list[Any]) -> None:
    server = make(stall_timeout=0.3)
    thread = start(server)
    time.sleep(0.5)
    assert abandoned == []
    server.servers[0].get_loop().call_soon_threadsafe(time.sleep, 1)
    until(lambda: abandoned)
    assert abandoned == ["The event loop has not answered for 0.3 s: the process ends"]
    end(server, thread)


def test_an_address_that_another_process_listens_at_by_now_is_refused() -> None:
    with socket.socket() as other, socket.socket() as sock:
        for each in (other, sock):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        sock.bind(other.getsockname())
        other.listen()
        with pytest.raises(StartupError, match="another process has begun to listen"):
            make().run([sock])


def test_a_loop_may_be_left_unwatched(abandoned: list[Any]) -> None:
    server = make()
    thread = start(server)
    server.servers[0].get_loop().call_soon_threadsafe(time.sleep, 0.3)
    end(server, thread)
    assert abandoned == [21]


def test_the_end_has_a_limit(abandoned: list[Any]) -> None:
    server = make(timeout_graceful_shutdown=3, timeout_lifespan_shutdown=4)
    end(server, start(server))
    assert abandoned == [8]


@pytest.mark.usefixtures("abandoned")
def test_that_sighup_is_of_no_use_is_told(caplog: pytest.LogCaptureFixture) -> None:
    server = make()
    thread = start(server)
    server._refuse_to_roll(signal.SIGHUP, None)
    message = "SIGHUP is ignored: a process that serves alone can't be replaced; use --supervisor"
    until(lambda: message in caplog.messages)
    end(server, thread)
    assert caplog.messages.count(message) == 1


@pytest.mark.parametrize(
    ("before", "terminal", "handled"),
    [
        (signal.SIG_DFL, False, "_refuse_to_roll"),
        (signal.SIG_DFL, True, "handle_exit"),
        (signal.SIG_IGN, True, None),
    ],
)
def test_sighup_ends_what_runs_on_a_terminal_unless_it_is_ignored(
    monkeypatch: pytest.MonkeyPatch, before: Any, handled: str | None, *, terminal: bool
) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(signal, "getsignal", lambda signum: before)
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"isatty": lambda _: terminal})())
    server = make()
    server.handle_signals()
    assert handlers[signal.SIGTERM] == server.handle_exit
    assert handlers.get(signal.SIGHUP) == (getattr(server, handled) if handled else None)


def test_a_process_without_standard_input_has_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(signal, "getsignal", lambda signum: signal.SIG_DFL)
    monkeypatch.setattr(sys, "stdin", None)
    server = make()
    server.handle_signals()
    assert handlers[signal.SIGHUP] == server._refuse_to_roll
