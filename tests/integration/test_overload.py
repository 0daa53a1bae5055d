# SPDX-License-Identifier: MIT
"""More requests than threads: those that may not wait are told so at once, and all is well afterwards."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median
from textwrap import dedent

import httpx

from tests.support.client import Connection
from tests.support.process import serving
from tests.support.waiting import until

THREADS = 2
QUEUED = 4

APP = """
    import time
    from pathlib import Path
    from flask import Flask

    app = Flask(__name__)
    app.secret_key = "2fd0a5c1e8b94763"

    @app.get("/block/<int:number>")
    def block(number):
        Path(f"{number}.began").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        return str(number)

    @app.get("/async")
    async def on_the_loop():
        return "served"
    """

FLAGS = ["--threads", str(THREADS), "--limit-queue", str(QUEUED)]


def began(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.began")}


def test_what_may_not_wait_is_refused_at_once_and_the_service_recovers(tmp_path: Path) -> None:
    (tmp_path / "blocking.py").write_text(dedent(APP))
    with (
        serving(["blocking:app", *FLAGS], cwd=tmp_path) as server,
        ThreadPoolExecutor(THREADS + QUEUED) as pool,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=30) as client,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=30) as other,
    ):

        def is_saturated() -> bool:
            return other.get("/readyz").status_code == 503

        try:
            blocked = [pool.submit(client.get, f"/block/{number}") for number in range(THREADS + QUEUED)]
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
            assert len(began(tmp_path)) == THREADS
        finally:
            (tmp_path / "go").touch()
        assert [future.result().text for future in blocked] == [str(number) for number in range(len(blocked))]
        assert other.get("/block/99").text == "99"
        assert other.get("/readyz").status_code == 200


def test_idle_connections_are_no_requests(tmp_path: Path) -> None:
    (tmp_path / "blocking.py").write_text(dedent(APP))
    with (
        serving(["blocking:app", "--limit-concurrency", "2"], cwd=tmp_path) as server,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=30) as client,
    ):
        idle = [Connection(server.address) for _ in range(10)]
        for connection in idle:
            assert connection.request("GET", "/async").status == 200
        try:
            with ThreadPoolExecutor(2) as pool:
                running = [pool.submit(client.get, f"/block/{number}") for number in range(2)]
                until(lambda: len(began(tmp_path)) == 2)
                assert idle[0].request("GET", "/async").status == 503
                assert client.get("/readyz").json()["reason"] == "saturated: 2 requests in flight"
                (tmp_path / "go").touch()
                assert [future.result().status_code for future in running] == [200, 200]
            assert idle[0].request("GET", "/async").status == 200
        finally:
            (tmp_path / "go").touch()
            for connection in idle:
                with suppress(OSError):
                    connection.close()
