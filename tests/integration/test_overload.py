# SPDX-License-Identifier: MIT
"""More requests than threads: those that may not wait are told so at once, and all is well afterwards."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx

from tests.support.client import Connection
from tests.support.process import serving
from tests.support.waiting import until

THREADS = 2
QUEUED = 4


FLAGS = ["--threads", str(THREADS), "--limit-queue", str(QUEUED)]


def began(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.began")}


def test_what_may_not_wait_is_refused_at_once_and_the_service_recovers(shop: Path) -> None:
    with (
        serving(["shop:app", *FLAGS], cwd=shop) as server,
        ThreadPoolExecutor(THREADS + QUEUED) as pool,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=30) as client,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=30) as other,
        ExitStack() as stack,
    ):

        def is_saturated() -> bool:
            return other.get("/readyz").status_code == 503

        blocked = [pool.submit(client.get, f"/block/{number}") for number in range(THREADS + QUEUED)]
        stack.callback((shop / "go").touch)
        until(is_saturated)
        latencies = []
        for _ in range(50):
            start = time.monotonic()
            refused = other.get("/block/99")
            latencies.append(time.monotonic() - start)
            assert refused.status_code == refused.json()["status"] == 503
            assert refused.headers["Retry-After"] == "1"
            assert refused.headers["Content-Type"] == "application/problem+json"
        assert median(latencies) < 0.5
        assert other.get("/readyz").json()["reason"] == f"saturated: {QUEUED} requests wait for a thread"
        assert other.get("/livez").status_code == 200
        assert other.get("/async").text == "served"
        assert len(began(shop)) == THREADS
        stack.close()
        assert [future.result().text for future in blocked] == [str(number) for number in range(len(blocked))]
        assert other.get("/block/99").text == "99"
        assert other.get("/readyz").status_code == 200


def test_idle_connections_are_no_requests(shop: Path) -> None:
    with (
        serving(["shop:app", "--limit-concurrency", "2"], cwd=shop) as server,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=30) as client,
        ThreadPoolExecutor(2) as pool,
        ExitStack() as stack,
    ):
        stack.callback((shop / "go").touch)
        idle = [stack.enter_context(Connection(server.address)) for _ in range(10)]
        for connection in idle:
            assert connection.request("GET", "/async").status == 200
        running = [pool.submit(client.get, f"/block/{number}") for number in range(2)]
        until(lambda: len(began(shop)) == 2)
        assert idle[0].request("GET", "/async").status == 503
        assert client.get("/readyz").json()["reason"] == "saturated: 2 requests in flight"
        (shop / "go").touch()
        assert [future.result().status_code for future in running] == [200, 200]
        assert idle[0].request("GET", "/async").status == 200
