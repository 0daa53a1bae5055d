# SPDX-License-Identifier: MIT
"""Servers of the system's packages that tests start."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE, until

__all__ = ["program", "running"]

#: Where Debian has the servers that it does not put on the PATH.
_FOLDERS = ("/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin")))


def program(name: str, package: str) -> str:
    """Return the path of a program; where it is missing, skip on a developer's machine, and fail in CI."""
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_FOLDERS))
    if found is None:
        message = f"{name} is not installed (Debian, Ubuntu: apt-get install {package})"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@contextmanager
def running(command: Sequence[str], log: Path, ready: str, *, user: str | None = None) -> Iterator[None]:
    """Run *command* as *user* until the block ends; its *log* has the text *ready* when the block begins."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, user=user)
        try:
            until(lambda: ready in log.read_text(errors="replace") or server.poll() is not None)
            assert server.poll() is None, log.read_text(errors="replace")
            yield
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL does not wait for its clients then
            server.wait(PATIENCE)
