# SPDX-License-Identifier: MIT
"""Readiness checks, seen by probes while the service is in trouble."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from tests.support.process import MANAGED, serving
from tests.support.waiting import until

APP = """
    import time
    from pathlib import Path
    from flask import Flask
    from ashapp import readiness_check

    app = Flask(__name__)
    app.secret_key = "2fd0a5c1e8b94763"

    @readiness_check("cache")
    async def cache():
        if Path("down").exists():
            raise ConnectionRefusedError("cache.test:6379")

    @app.get("/block/<int:number>")
    def block(number):
        Path(f"{number}.began").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        return str(number)

    @app.get("/stall")
    async def stall():
        while not Path("go").exists():
            time.sleep(0.01)
        return "done"
    """

FLAGS = ["--threads", "2", "--readiness-interval", "0.1", "--drain-delay", "0"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "shop.py").write_text(dedent(APP))
    yield tmp_path
    (tmp_path / "go").touch()


def get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False, timeout=20)


def test_readiness_follows_the_checks_while_every_thread_is_busy(folder: Path) -> None:
    with serving(["shop", *FLAGS], cwd=folder, env=MANAGED) as server, ThreadPoolExecutor(2) as pool:
        try:
            ready = f"{server.base_url}/readyz"
            assert get(ready).json() == {"status": "ok"}, "the first probe meets outcomes"
            for number in range(2):
                pool.submit(get, f"{server.base_url}/block/{number}")
            until(lambda: len(list(folder.glob("*.began"))) == 2)
            (folder / "down").touch()
            until(lambda: get(ready).status_code == 503)
            assert get(ready).json()["reason"] == "readiness checks failed: cache"
            (folder / "down").unlink()
            until(lambda: get(ready).status_code == 200)
        finally:
            (folder / "go").touch()


def test_the_management_port_tells_of_a_stalled_loop(folder: Path) -> None:
    with serving(["shop", *FLAGS, "--stall-timeout", "0"], cwd=folder, env=MANAGED) as server:
        url = server.management_url
        assert get(f"{url}/livez").status_code == 200
        with ThreadPoolExecutor(1) as pool:
            stalled = pool.submit(get, f"{server.base_url}/stall")
            until(lambda: get(f"{url}/livez").status_code == 503)
            assert get(f"{url}/livez").json()["stalled_workers"] == [server.pid]
            assert get(f"{url}/readyz").status_code == 503
            assert "ashapp_event_loop_lag_seconds" in get(f"{url}/metrics").text
            assert not stalled.done()
            (folder / "go").touch()
            assert stalled.result().text == "done"
        until(lambda: get(f"{url}/readyz").status_code == 200)
