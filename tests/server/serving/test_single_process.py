# SPDX-License-Identifier: MIT
import asyncio
import signal
import socket
import threading
from typing import Any

import pytest
import uvicorn

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.errors import StartupError
from ashapp.server.health.state import Health
from ashapp.server.serving import server as server_module
from ashapp.server.serving import single_process
from ashapp.server.serving.single_process import MainServer
from ashapp.server.settings.loading import load
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
    monkeypatch.setattr(single_process, "abandon", calls.append)
    monkeypatch.setattr(single_process, "abandon_after", calls.append)
    return calls


def make(**flags: Any) -> MainServer:
    settings = load({"drain_delay": 0, "stall_timeout": 0, **flags})
    return MainServer(uvicorn.Config(application, log_config=None, lifespan="on"), settings, Health())


def test_an_address_that_another_process_listens_at_by_now_is_refused() -> None:
    with socket.socket() as other, socket.socket() as sock:
        for each in (other, sock):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        sock.bind(other.getsockname())
        other.listen()
        with pytest.raises(StartupError, match=r"can.t listen on http://.*: Address already in use"):
            make().run([sock])


@pytest.mark.parametrize(
    ("before", "terminal", "is_handled"),
    [
        (signal.SIG_DFL, False, False),
        (signal.SIG_DFL, True, True),
        (signal.SIG_IGN, True, False),
    ],
)
def test_sighup_ends_what_runs_on_a_terminal_unless_it_is_ignored(
    monkeypatch: pytest.MonkeyPatch, before: Any, *, terminal: bool, is_handled: bool
) -> None:
    handlers: dict[int, Any] = {}
    for module in (single_process, server_module):
        monkeypatch.setattr(module, "handle", handlers.__setitem__)
    monkeypatch.setattr(single_process, "is_on_terminal", lambda: terminal)
    monkeypatch.setattr(signal, "getsignal", lambda signum: before)
    server = make()
    server.handle_signals()
    ends = {signal.SIGINT, signal.SIGTERM, signal.SIGQUIT} | ({signal.SIGHUP} if is_handled else set())
    assert handlers == dict.fromkeys(ends, server.handle_exit)


class Hooks:
    """An application whose startup takes its time."""

    def __init__(self, *, yields: bool) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.ended: list[str] = []
        self._yields = yields

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.set()
        try:
            if self._yields:
                await asyncio.sleep(600)
            else:
                self.go.wait(PATIENCE)
        finally:
            self.ended.append("hook")


@pytest.mark.parametrize("lifespan", ["auto", "on"])
@pytest.mark.parametrize("is_early", [False, True])
def test_a_startup_that_takes_long_is_cancelled_by_an_end(
    abandoned: list[Any], caplog: pytest.LogCaptureFixture, lifespan: Any, *, is_early: bool
) -> None:
    """Also by one that comes before the loop runs."""
    hooks = Hooks(yields=True)
    server = MainServer(uvicorn.Config(hooks, log_config=None, lifespan=lifespan), load({}), Health())
    if is_early:
        server.drain()
    thread = threading.Thread(target=server.run)
    thread.start()
    if not is_early:
        hooks.begun.wait(PATIENCE)
        server.drain()
    thread.join(PATIENCE)
    assert not (thread.is_alive())
    assert not (server.started)
    assert hooks.ended == ([] if is_early else ["hook"])
    assert abandoned == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_startup_that_blocks_the_loop_is_given_up_at_an_end(abandoned: list[Any]) -> None:
    hooks = Hooks(yields=False)
    settings = load({"timeout_lifespan_shutdown": 0.1})
    server = MainServer(uvicorn.Config(hooks, log_config=None, lifespan="on"), settings, Health())
    thread = threading.Thread(target=server.run)
    thread.start()
    hooks.begun.wait(PATIENCE)
    server.drain()
    until(lambda: abandoned)
    assert set(abandoned) == {"The process has not ended in the time that it has; its start goes on"}
    hooks.go.set()
    thread.join(PATIENCE)
