# SPDX-License-Identifier: MIT
"""Processes that an application forks: they serve nothing, hold nothing of the service, and may use Flask."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.client import Connection, fetch
from tests.support.process import ServerProcess, serving

_APP = """
    import asyncio
    import multiprocessing
    import os
    import sys
    import time

    import flask

    app = flask.Flask(__name__)
    app.secret_key = "b61e0f3a97c24d58"
    parent = os.getpid()

    def fork():
        how = flask.request.query_string
        child = os.fork()
        if child == 0:
            if how == b"exit":
                sys.exit(7)
            return "the child answers"
        return f"{os.getpid()} {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"

    @app.before_request
    def hook():
        if flask.request.path.endswith("hook"):
            return fork()

    @app.get("/sync")
    @app.get("/sync-hook")
    def sync_view():
        return fork()

    @app.get("/async")
    @app.get("/async-hook")
    async def async_view():
        return fork()

    @app.get("/task")
    async def task_view():
        async def task():
            return fork()

        return await asyncio.create_task(task())

    @app.get("/stream")
    def stream():
        def items():
            yield " " * 100_000
            yield fork()
            yield " " * 100_000

        return flask.stream_with_context(items())

    @app.get("/async-stream")
    async def async_stream():
        yield fork()

    @app.get("/awaiting")
    async def await_in_the_child():
        child = os.fork()
        if child == 0:
            await asyncio.sleep(0)
        return f"{os.getpid()} {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"

    @app.get("/daemon")
    def start_daemon():
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        return str(child)

    def work(channel):
        async def work():
            await asyncio.sleep(0)
            return "done"

        channel.send([app.ensure_sync(work)(), app.test_client().get("/pid").text])

    @app.get("/pid")
    async def show_pid():
        await asyncio.sleep(0)
        return str(os.getpid())

    @app.get("/process")
    def start_process():
        fork = multiprocessing.get_context("fork")
        ours, theirs = fork.Pipe()
        process = fork.Process(target=work, args=(theirs,))
        process.start()
        done = ours.recv() if ours.poll(10) else []
        process.kill()
        process.join()
        return [*done, str(process.pid)]

    @app.get("/async-process")
    async def start_process_on_the_loop():
        return start_process()
    """


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(dedent(_APP))
    return tmp_path


@pytest.fixture(params=["auto", "asyncio"])
def server(folder: Path, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with serving(["shop:app", "--loop", request.param], cwd=folder) as server:
        yield server


def test_one_that_comes_back_ends_there(server: ServerProcess) -> None:
    """By the code of ``sys.exit``, or 0; what a task's is, nobody can tell."""
    for path in ("sync", "async", "sync-hook", "async-hook", "stream", "async-stream", "task"):
        for how, code in (("return", 0), ("exit", 7)):
            body = fetch(server.address, f"/{path}?{how}").body.decode().split()
            assert body[0] == str(server.pid)
            assert path == "task" or body[1] == str(code), (path, how)
    assert server.stop() == 0
    assert "Traceback" not in server.stderr


def test_one_that_waits_for_the_loop_ends_there(server: ServerProcess) -> None:
    assert fetch(server.address, "/pid").status == 200  # from now on the view is stepped as any later one
    for _ in range(2):
        assert fetch(server.address, "/awaiting").body.decode() == f"{server.pid} 0"
    assert server.stop() == 0
    assert "Traceback" not in server.stderr


def test_one_may_use_the_application(server: ServerProcess) -> None:
    for path in ("process", "async-process"):
        done, pid, child = json.loads(fetch(server.address, f"/{path}").body)
        assert (done, pid) == ("done", child)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_keeps_no_connection_and_no_port(folder: Path, workers: str) -> None:
    with serving(["shop:app", "--workers", workers], cwd=folder) as server:
        port = str(server.address[1])
        with Connection(server.address) as connection:
            child = int(connection.request("GET", "/daemon", [("Connection", "close")]).body)
            try:
                connection.wait_for_close(5)
                assert server.stop() == 0
                with serving(["shop:app", "--host", "127.0.0.1", "--port", port], cwd=folder) as other:
                    assert fetch(other.address, "/pid").status == 200
            finally:
                os.kill(child, signal.SIGKILL)
