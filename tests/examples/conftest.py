# SPDX-License-Identifier: MIT
"""The examples, each started by the very line of its README, and the databases that they need."""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.support.page import Page
from tests.support.process import ServerProcess, serving
from tests.support.services.postgresql import postgresql
from tests.support.services.redis import redis

EXAMPLES = Path(__file__).parents[2] / "examples"

#: Starts the example of a name, with some variables.
Start = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgresql(tmp_path_factory.mktemp("postgresql") / "log") as url:
        yield url


@pytest.fixture(scope="module")
def database_url(postgresql_url: str, request: pytest.FixtureRequest) -> str:
    """A database of a file's own, with nothing in it."""
    name = request.module.__name__.rpartition(".")[2]
    with psycopg.connect(postgresql_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"{postgresql_url.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Start examples, which end with the tests of a file."""
    with ExitStack() as stack:
        yield lambda name, number=0, **env: stack.enter_context(example(name, number, **env))


@contextmanager
def example(name: str, number: int = 0, *, listens: bool = True, **env: str) -> Iterator[ServerProcess]:
    """Run the line of an example's README, on a free port; *number* counts those of a README with several."""
    folder = EXAMPLES / name
    env = {"ASHAPP_HOST": "127.0.0.1", "ASHAPP_PORT": "0", "ASHAPP_LOG_FORMAT": "json", **env}
    line = lines(folder)[number]
    with serving(command=command(line), cwd=folder, env=env, listens=listens) as server:
        try:
            if workers := re.search(r"--workers (\d+)", line):
                server.wait_for_log(f"(?s)(Application startup complete.*){{{workers[1]}}}")
            yield server
        finally:
            server.stop()
            with suppress(ProcessLookupError):  # a shell that waits leaves what it has started
                os.killpg(server.pid, signal.SIGKILL)


def command(line: str) -> list[str]:
    """Return what runs a *line* as a person would, who has activated the environment.

    The shell becomes the last program of the line. What is appended are arguments that it does not read.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return ["env", f"PATH={path}", "bash", "-c", line]


def lines(folder: Path) -> list[str]:
    """Return the lines in the README of an example that start it."""
    blocks = Page(folder / "README.md").sections["Run"].of("sh")
    assert blocks, f"{folder.name}: no line that starts it"
    assert [block for block in blocks if "\n" in block] == []
    return blocks
