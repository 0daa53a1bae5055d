# SPDX-License-Identifier: MIT
"""Redis, as the system's package has it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.process import free_port
from tests.support.services.programs import program, running

__all__ = ["redis"]


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a server that keeps nothing, until the block ends; its URL ends with the number of a database."""
    port = free_port()
    command = [program("redis-server", "redis-server"), "--bind", "127.0.0.1", "--port", str(port)]
    command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
    with running(command, folder / "redis.log", "Ready to accept connections"):
        yield f"redis://127.0.0.1:{port}/0"
