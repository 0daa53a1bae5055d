# SPDX-License-Identifier: MIT
"""What an application does that should end neither the service nor other requests, nor hinder its end."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from tests.support.client import fetch
from tests.support.process import MANAGED, serving

_APP = """
    import asyncio
    import sys

    import flask

    app = flask.Flask(__name__)
    app.secret_key = "b61e0f3a97c24d58"

    async def leave():
        await asyncio.sleep(0)
        sys.exit(3)

    @app.get("/gather")
    async def gather():
        await asyncio.gather(leave())
        return ""

    @app.get("/background")
    async def begin():
        asyncio.create_task(leave())
        return ""

    @app.get("/wait")
    async def wait():
        await asyncio.sleep(1)
        return ""
    """


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
def test_a_task_that_exits_ends_nothing_else(tmp_path: Path, loop: str) -> None:
    (tmp_path / "shop.py").write_text(dedent(_APP))
    with serving(["shop:app", "--loop", loop], cwd=tmp_path) as server, ThreadPoolExecutor() as pool:
        waiting = [pool.submit(fetch, server.address, "/wait") for _ in range(3)]
        exits = [fetch(server.address, path).status for path in ("/gather", "/background") * 3]
        assert exits == [500, 200] * 3
        assert [request.result().status for request in waiting] == [200] * 3
        assert server.stop() == 0
        assert server.stderr.count("A task of the application raised SystemExit(3)") == 6


_NO_THREADS = """
    import threading

    import flask

    app = flask.Flask(__name__)
    app.secret_key = "b61e0f3a97c24d58"
    app.on_shutdown = lambda: print("shut down", flush=True)

    def refuse(*_, **__):
        raise RuntimeError("can't start new thread")

    @app.get("/")
    def index():
        for name in ("_start_new_thread", "_start_joinable_thread"):
            setattr(threading, name, refuse)
        return ""
    """


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_want_of_threads_keeps_nothing_from_its_end(tmp_path: Path, workers: str) -> None:
    """Nor the management port from its answer."""
    (tmp_path / "shop.py").write_text(dedent(_NO_THREADS))
    with serving(["shop:app", "--workers", workers], cwd=tmp_path, env=MANAGED) as server:
        assert [fetch(server.address, "/").status for _ in range(20)] == [200] * 20
        assert httpx.get(f"{server.management_url}/readyz").status_code == 200
        assert server.stop() == 0
        assert server.stdout == "shut down\n" * int(workers)
