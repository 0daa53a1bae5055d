# SPDX-License-Identifier: MIT
"""A service that is started without standard files, with signals blocked and with SIGCHLD ignored."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.support.process import serving
from tests.support.waiting import PATIENCE, until

APPLICATION = """
import os, subprocess, sys
from flask import Flask

app = Flask(__name__)

@app.get("/")
def index():
    sys.stderr.write("\\udc80")
    files = [os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)]
    return {"pid": os.getpid(), "files": files, "code": subprocess.run(["false"]).returncode}
"""

START = """
import os, signal, sys

for fd in {closed}:
    os.close(fd)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execv(sys.executable, [sys.executable, "-m", "ashapp", "serve", *sys.argv[1:]])
"""


def answer(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        if client.connect_ex(str(path)):  # it does not listen yet
            return b""
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client.makefile("rb").read().partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(("closed", "workers"), [((0, 1), 1), ((2,), 1), ((0, 1, 2), 2)])
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only there a process tells its files")
def test_it_serves_as_any_other(tmp_path: Path, closed: tuple[int, ...], workers: int) -> None:
    """Its workers are replaced, a child's exit code is known, and SIGTERM ends it."""
    (tmp_path / "quiet.py").write_text(APPLICATION)
    command = [sys.executable, "-c", START.format(closed=closed)]
    args = ["quiet:app", "--uds", str(tmp_path / "socket"), "--workers", str(workers)]
    with serving(args, cwd=tmp_path, command=command, listens=False) as server:
        until(lambda: answer(tmp_path / "socket"))
        found = json.loads(answer(tmp_path / "socket"))
        assert found["code"] == 1
        for fd in closed:
            assert found["files"][fd] == "/dev/null"
        if workers > 1:
            os.kill(found["pid"], signal.SIGKILL)
        assert server.stop() == 0
