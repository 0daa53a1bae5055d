# SPDX-License-Identifier: MIT
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ashapp.server.operating_system import systemd
from tests.support.client import fetch
from tests.support.process import serving
from tests.support.waiting import until

# As systemd starts a service with sockets: they are the descriptors from 3 on.
ACTIVATE = """
import fcntl, os, sys

given = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1].split(",")]
for number, fd in enumerate(given):
    os.dup2(fd, 3 + number)
os.environ.update(LISTEN_FDS=str(len(given)), LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "ashapp", "serve", *sys.argv[2:]])
"""

APP = """
import os


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


class Manager:
    """What a service tells systemd."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.told: list[str] = []

    def has(self, state: str, times: int = 1) -> bool:
        while True:
            try:
                self.told += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.told.count(state) >= times

    def wait_for(self, state: str, times: int = 1) -> None:
        until(lambda: self.has(state, times), 60)


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(0)
        yield Manager(sock)


def test_systemd_is_told_where_it_asks(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    assert systemd.notify("READY=1", "STATUS=well")
    manager.wait_for("STATUS=well")
    assert manager.told == ["READY=1", "STATUS=well"]
    for nobody in ("", "vsock:2:1", "/nowhere/notify", "@nobody"):
        monkeypatch.setenv("NOTIFY_SOCKET", nobody)
        assert not systemd.notify("READY=1")


@pytest.mark.skipif(sys.platform != "linux", reason="abstract addresses are Linux's")
def test_an_abstract_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"ashapp-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        assert systemd.notify("READY=1")
        assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("variables", "times"),
    [
        ({"WATCHDOG_USEC": "1000"}, 2),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 1),
        ({"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "0"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({}, 0),
    ],
)
def test_signs_of_life_are_given_when_they_are_due(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], times: int
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    service_manager = systemd.ServiceManager()
    service_manager.live()
    time.sleep(0.002)
    service_manager.live()
    assert manager.has("WATCHDOG=1", 0)
    assert manager.told == ["WATCHDOG=1"] * times


@pytest.mark.parametrize(
    ("variables", "passed"),
    [
        ({}, []),
        ({"LISTEN_FDS": "2"}, []),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "1"}, []),
        ({"LISTEN_FDS": "some", "LISTEN_PID": str(os.getpid())}, []),
        ({"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())}, []),
    ],
)
def test_sockets_of_another_process_are_not_taken(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], passed: list[int]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert systemd.passed_descriptors() == passed


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_is_started_with_sockets_and_tells_how_it_is(
    tmp_path: Path, manager: Manager, workers: str
) -> None:
    (tmp_path / "plain.py").write_text(APP)
    files = ["--pidfile", str(tmp_path / "pid"), "--umask", "077"]
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        descriptors = f"{one.fileno()},{two.fileno()}"
        command = [sys.executable, "-c", ACTIVATE, descriptors, "plain:app", "--workers", workers]
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        fds = [one.fileno(), two.fileno()]
        with serving(files, command=command, cwd=tmp_path, env=environment, pass_fds=fds) as server:
            manager.wait_for("READY=1")
            begun = time.monotonic()
            manager.wait_for("WATCHDOG=1", times=12)
            assert time.monotonic() - begun < 6, "the signs of life come too late"
            assert all(fetch(sock.getsockname(), "/").status == 200 for sock in (one, two))
            assert (tmp_path / "pid").read_text() == f"{server.pid}\n"
            assert (tmp_path / "pid").stat().st_mode & 0o777 == 0o600
            if workers == "2":
                server.process.send_signal(signal.SIGHUP)
                manager.wait_for("RELOADING=1")
                manager.wait_for("READY=1", times=2)
            assert server.stop() == 0
            manager.wait_for("STOPPING=1")
        assert not (tmp_path / "pid").exists()
        # They are systemd's, which starts the service anew when somebody comes.
        socket.create_connection(one.getsockname()).close()
