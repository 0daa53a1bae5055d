# SPDX-License-Identifier: MIT
"""``sys.exit()`` in a task that a view has begun: it ends neither the service nor other requests."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.client import fetch
from tests.support.process import serving

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
