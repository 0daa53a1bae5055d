# SPDX-License-Identifier: MIT
"""``ashapp status``, ``stacks``, ``reload`` and ``scale``, and services that they ask."""

import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ashapp.server.cli import main
from tests.support.process import ServerProcess, serving
from tests.support.waiting import until

STUCK = """
    import threading
    from flask import Flask

    app = Flask(__name__)

    @app.get("/stuck")
    def stuck():
        threading.Event().wait(30)
    """


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main.main, arguments)


@pytest.fixture
def service(runtime: Path) -> Iterator[ServerProcess]:
    folder = runtime / "code"
    folder.mkdir()
    (folder / "stuck.py").write_text("\n".join(line[4:] for line in STUCK.splitlines()))
    environment = {"XDG_RUNTIME_DIR": str(runtime), "ASHAPP_MANAGEMENT_PORT": "0"}
    options = ["--workers", "2", "--stall-timeout", "0", "--timeout-graceful-shutdown", "1"]
    with serving(["stuck", *options], cwd=folder, env=environment) as server:
        yield server


def workers() -> set[int]:
    return {worker["pid"] for worker in json.loads(command("status", "--json").output)["workers"]}


def test_a_service_is_asked_scaled_and_replaced(service: ServerProcess, runtime: Path) -> None:
    until(lambda: len(workers()) == 2, 30)
    (path,) = runtime.glob("ashapp/*.sock")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.create_connection(service.address) as client:
        client.sendall(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: "in stuck" in command("stacks").output, 30)
        until(lambda: "threads 1 of" in command("status").output, 30)
        assert "ready; requests 1, of which 0 wait for a thread; threads 1 of" in command("status").output
    before = workers()
    assert command("scale", "1").output == "Workers: 1, after 2\n"
    until(lambda: len(workers()) == 1, 30)
    assert command("reload").output == "Workers that are being replaced: 1\n"
    until(lambda: len(workers()) == 1 and not workers() & before, 30)
    assert "workers = 'many': must be a whole number from 1 to 1000" in command("scale", "many").output


def test_a_service_leaves_no_socket_behind(service: ServerProcess, runtime: Path) -> None:
    assert service.stop() == 0
    assert list(runtime.glob("ashapp/*")) == []
    result = command("status")
    assert result.exit_code == 2
    assert "no service of this user answers" in result.output


def test_one_of_several_is_named(runtime: Path) -> None:
    (runtime / "ashapp").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        for number, sock in (("no-process", one), (str(os.getpid()), other)):
            sock.bind(str(runtime / "ashapp" / f"{number}.sock"))
            sock.listen()
        output = command("status").output
    assert "this user has several services, name one with --socket" in output
    assert "/no-process.sock" in output
    if Path("/proc/self/cmdline").exists():  # else no command line is told
        assert f"/{os.getpid()}.sock (" in output


def test_what_does_not_answer_is_told(runtime: Path) -> None:
    result = command("status", "--socket", str(runtime / "none"))
    assert result.exit_code == 2
    assert "does not answer: [Errno 2] No such file" in result.output


def test_a_file_that_is_no_socket_refuses_the_start_and_stays(runtime: Path) -> None:
    file = runtime / "letter"
    file.write_text("dear all")
    with serving(["--control-socket", str(file)], listens=False) as server:
        assert server.process.wait(30) == 2
        assert "there is a file of this name" in server.stderr
    assert file.read_text() == "dear all"


def test_a_socket_that_cant_be_had_refuses_the_start(runtime: Path) -> None:
    with serving(["--control-socket", str(runtime / "none" / "socket")], listens=False) as server:
        assert server.process.wait(30) == 2
        assert "control_socket = " in server.stderr
