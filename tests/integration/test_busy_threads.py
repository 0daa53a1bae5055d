# SPDX-License-Identifier: MIT
"""Probes, while every thread of the server is busy."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from textwrap import dedent

import httpx

from tests.support.process import serving
from tests.support.waiting import until

THREADS = 2
BLOCKED = 20

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
    """


def test_probes_answer_at_once_while_every_thread_is_busy(tmp_path: Path) -> None:
    (tmp_path / "blocking.py").write_text(dedent(APP))
    with (
        serving(["blocking:app", "--threads", str(THREADS)], cwd=tmp_path) as server,
        ThreadPoolExecutor(BLOCKED) as pool,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=30) as client,
    ):
        try:
            blocked = [pool.submit(client.get, f"/block/{number}") for number in range(BLOCKED)]
            until(lambda: len(list(tmp_path.glob("*.began"))) == THREADS)
            with httpx.Client(base_url=server.base_url, trust_env=False) as probe:
                latencies = []
                for path in ["/livez", "/readyz", "/healthz"] * 20:
                    began = time.monotonic()
                    assert probe.get(path).json() == {"status": "ok"}
                    latencies.append(time.monotonic() - began)
            assert median(latencies) < 0.5
            assert not any(future.done() for future in blocked)
            assert len(list(tmp_path.glob("*.began"))) == THREADS
        finally:
            (tmp_path / "go").touch()
        assert [future.result().text for future in blocked] == [str(number) for number in range(BLOCKED)]
