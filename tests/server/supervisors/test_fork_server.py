# SPDX-License-Identifier: MIT
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.supervisors.fork_server import Child, ForkServer
from tests.server.supervisors.forked import started
from tests.support.waiting import until


def told(fork_server: ForkServer) -> tuple[Child, dict[str, object]]:
    reader, writer = os.pipe()
    child = fork_server.fork([writer])
    os.close(writer)
    with os.fdopen(reader) as report:
        return child, json.load(report)


def test_a_worker_inherits_nothing_that_is_not_its_own() -> None:
    with started("report") as fork_server:
        children, found = zip(*[told(fork_server) for _ in range(3)], strict=True)
        for child in children:
            child.send_signal(signal.SIGTERM)
            child.join()
            assert (child.exitcode, child.is_alive()) == (7, False)
    assert len({report.pop("random") for report in found}) == 3, "its random numbers are another's"
    for report in found:
        assert (report["descriptors"], report["inheritable"]) == ({}, [])
        assert (report["handled"], report["blocked"]) == ([], 0)
        assert (report["wakeup"], report["threads"]) == (-1, 1)


def test_the_end_of_a_worker_is_told_and_signals_to_the_group_do_not_end_the_fork_server() -> None:
    with started("wait") as fork_server:
        first = fork_server.fork([])
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            os.kill(fork_server._pid, signum)
        second = fork_server.fork([])
        assert first.is_alive()
        first.send_signal(signal.SIGKILL)
        first.join()
        first.send_signal(signal.SIGKILL)  # in vain
        assert first.exitcode == -signal.SIGKILL
        assert second.is_alive()
        os.kill(fork_server._pid, signal.SIGKILL)
        until(lambda: not second.is_alive(), 10)
        assert second.exitcode == 255, "nobody knows"
        with pytest.raises(StartupError, match="process that workers are forked from was killed"):
            fork_server.fork([])
        os.kill(second.pid, signal.SIGKILL)


def test_what_the_system_refuses_is_an_error_of_the_system() -> None:
    with started("fail") as fork_server, pytest.raises(OSError, match="Resource temporarily unavailable"):
        fork_server.fork([])


def test_variables_that_are_set_later_are_news(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fork_server = ForkServer(0, ours)
        assert fork_server.variables() == {}
        monkeypatch.setenv("SHOP", "open")
        assert fork_server.variables() == {"SHOP": "open"}


_FOUND = """
import os
from ashapp.server.supervisors.fork_server import ForkServer, start_fork_server
found = start_fork_server()
if isinstance(found, list):
    os.write(found[0], b"forked")
    raise SystemExit(3)
reader, writer = os.pipe()
child = found.fork([writer])
child.join()
print(os.read(reader, 10), child.exitcode)
found.close()
"""


def test_a_worker_goes_on_where_its_fork_server_was_started_and_ends_as_any_process() -> None:
    command = [sys.executable, "-W", "error", "-c", _FOUND]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("b'forked' 3\n", "")
