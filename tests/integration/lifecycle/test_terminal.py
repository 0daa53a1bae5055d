# SPDX-License-Identifier: MIT
"""Ctrl+C at a terminal, which is a pseudo-terminal: what a person who waits is told, and how not to wait."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.client import Address, Connection, fetch
from tests.support.process import SERVE, end
from tests.support.waiting import is_listening, until

APP = """
import asyncio
import flask

app = flask.Flask(__name__)
app.secret_key = "9f2c6d0b1e7a4538"


@app.get("/ticks")
async def ticks():
    async def generate():
        while True:
            yield "tick\\n"
            await asyncio.sleep(0.05)

    return generate()
"""

# Makes its standard input the terminal of its session, which sends SIGINT for Ctrl+C.
ADOPT = """
import fcntl, os, sys, termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
CTRL_C = b"\x03"
HINT = "; Ctrl+C again ends it at once"


class Terminal:
    """A terminal with a service: what is shown there, without colours."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._shown = b""
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[\d;]*m", "", self._shown.decode())

    def wait_for(self, text: str) -> None:
        until(lambda: text in self.text or self.process.poll() is not None, 60)
        assert text in self.text, self.text

    def address(self) -> Address:
        """Return where the service listens, as soon as it does."""
        self.wait_for("Serving clock:app on http://127.0.0.1:")
        port = re.search(r"http://127\.0\.0\.1:(\d+)", self.text)
        assert port is not None
        address = ("127.0.0.1", int(port[1]))
        until(lambda: is_listening(address))
        return address

    def press(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def _read(self) -> None:
        with suppress(OSError):  # nobody has it open any more
            while data := os.read(self._descriptor, 65536):
                self._shown += data


@contextmanager
def at_terminal(folder: Path, *flags: str) -> Iterator[Terminal]:
    (folder / "clock.py").write_text(APP)
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", ADOPT, *SERVE, "clock:app", "--host", "127.0.0.1", "--port", "0", *flags]
    process = subprocess.Popen(
        [*command, "--management-port", "off"],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        end(process)
        os.close(ours)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_person_is_told_what_is_waited_for_and_how_not_to_wait(tmp_path: Path, workers: str) -> None:
    flags = ["--workers", workers, "--timeout-graceful-shutdown", "600"]
    with at_terminal(tmp_path, *flags) as terminal, Connection(terminal.address()) as connection:
        connection.send(b"GET /ticks HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.receive_head()
        terminal.press(CTRL_C)
        terminal.wait_for(f"Waiting for 1 request (GET '/ticks'), for 600 s at most{HINT}")
        terminal.press(CTRL_C)
        assert terminal.process.wait(60) == 0
    assert "Cancelled 1 request in flight: hurried" in terminal.text
    (line,) = (line for line in terminal.text.splitlines() if "GET /ticks 200" in line)
    assert "error" not in line
    assert "disconnected" not in line
    assert "Traceback" not in terminal.text


def test_a_person_is_told_of_a_drain(tmp_path: Path) -> None:
    with at_terminal(tmp_path, "--drain-delay", "600") as terminal:
        assert fetch(terminal.address(), "/nowhere").status == 404
        terminal.press(CTRL_C)
        terminal.wait_for(f"SIGINT: Not ready any more; connections are accepted for 600.0 s{HINT}")
        terminal.press(CTRL_C)
        assert terminal.process.wait(60) == 0
