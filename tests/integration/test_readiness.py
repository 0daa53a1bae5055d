# SPDX-License-Identifier: MIT
"""Readiness checks, seen by probes while the service is in trouble."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.support.process import MANAGED, serving
from tests.support.waiting import until

FLAGS = ["--threads", "2", "--readiness-interval", "0.1", "--drain-delay", "0"]


def get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False, timeout=20)


def test_readiness_follows_the_checks_while_every_thread_is_busy(shop: Path) -> None:
    with serving(["shop", *FLAGS], cwd=shop, env=MANAGED) as server, ThreadPoolExecutor(2) as pool:
        ready = f"{server.base_url}/readyz"
        assert get(ready).json() == {"status": "ok"}, "the first probe meets outcomes"
        for number in range(2):
            pool.submit(get, f"{server.base_url}/block/{number}")
        until(lambda: len(list(shop.glob("*.began"))) == 2)
        (shop / "down").touch()
        until(lambda: get(ready).status_code == 503)
        assert get(ready).json()["reason"] == "readiness checks failed: cache"
        (shop / "down").unlink()
        until(lambda: get(ready).status_code == 200)
        (shop / "go").touch()


def test_the_management_port_tells_of_a_stalled_loop(shop: Path) -> None:
    with serving(["shop", *FLAGS, "--stall-timeout", "0"], cwd=shop, env=MANAGED) as server:
        url = server.management_url
        assert get(f"{url}/livez").status_code == 200
        with ThreadPoolExecutor(1) as pool:
            stalled = pool.submit(get, f"{server.base_url}/stall")
            until(lambda: get(f"{url}/livez").status_code == 503)
            assert get(f"{url}/livez").json()["stalled_workers"] == [server.pid]
            assert get(f"{url}/readyz").status_code == 503
            assert "ashapp_event_loop_lag_seconds" in get(f"{url}/metrics").text
            assert not stalled.done()
            (shop / "go").touch()
            assert stalled.result().text == "done"
        until(lambda: get(f"{url}/readyz").status_code == 200)
