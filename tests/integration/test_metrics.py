# SPDX-License-Identifier: MIT
"""Metrics of several workers, against what a client has counted itself."""

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.process import MANAGED, ServerProcess, serving

WORKERS = 3
CLIENTS = 4
ROUNDS = 10

APP = """
    import os
    from flask import Flask
    from prometheus_client import Counter

    app = Flask(__name__)
    app.secret_key = "2fd0a5c1e8b94763"
    sales = Counter("shop_sales", "Sales.")

    @app.get("/sync/<int:number>")
    def sync(number):
        sales.inc()
        return str(os.getpid())

    @app.get("/async/<int:number>")
    async def asynchronous(number):
        return str(os.getpid())

    @app.post("/broken")
    def broken():
        raise ValueError
    """

#: What is asked for, and what is counted for it: method, route, status and place.
REQUESTS = [
    ("GET", "/sync/{}", ("GET", "/sync/<int:number>", "200", "thread")),
    ("GET", "/async/{}", ("GET", "/async/<int:number>", "200", "loop")),
    ("HEAD", "/async/{}", ("HEAD", "/async/<int:number>", "200", "loop")),
    ("POST", "/broken", ("POST", "/broken", "500", "thread")),
    ("GET", "/nowhere/{}", ("GET", "", "404", "thread")),
    ("PROPFIND", "/sync/{}", ("_OTHER", "", "405", "thread")),
]
FLAGS = ["--workers", str(WORKERS), "--drain-delay", "0", "--log-level", "info", "--no-access-log"]
LABELS = ("http_request_method", "http_route", "http_response_status_code", "ashapp_place")


class Service:
    """A server whose management port is asked as well."""

    def __init__(self, server: ServerProcess) -> None:
        self.base_url = server.base_url
        self.server = server
        self.management_url = server.management_url

    def samples(self, name: str) -> Counter[tuple[str, ...]]:
        text = httpx.get(f"{self.management_url}/metrics", trust_env=False, timeout=20).text
        return Counter(
            {
                tuple(sample.labels.get(label, "") for label in LABELS): int(sample.value)
                for metric in text_string_to_metric_families(text)
                for sample in metric.samples
                if sample.name == name
            }
        )

    def counted(self) -> Counter[tuple[str, ...]]:
        return self.samples("http_server_request_duration_seconds_count")

    def workers(self) -> set[int]:
        answer = httpx.get(f"{self.management_url}/readyz", trust_env=False, timeout=20).json()
        return {worker["pid"] for worker in answer["workers"] if worker["ready"]}

    def wait_for_workers(self, former: set[int], count: int = WORKERS) -> set[int]:
        """Wait until *count* workers are ready, none of them among the *former* ones; return their ids."""
        for _ in range(300):
            workers = self.workers()
            if len(workers) == count and workers.isdisjoint(former):
                return workers
            time.sleep(0.1)
        raise AssertionError(f"the workers do not become ready:\n{self.server.stderr}")

    def ask(self, rounds: int = ROUNDS) -> Counter[tuple[str, ...]]:
        """Send each of REQUESTS many times, by clients at once; count them."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            return sum(pool.map(self._ask, [rounds] * CLIENTS), Counter[tuple[str, ...]]())

    def _ask(self, rounds: int) -> Counter[tuple[str, ...]]:
        seen: Counter[tuple[str, ...]] = Counter()
        with httpx.Client(base_url=self.base_url, trust_env=False, timeout=20) as client:
            for number in range(rounds):
                for method, path, labels in REQUESTS:
                    assert str(client.request(method, path.format(number)).status_code) == labels[2]
                    seen[labels] += 1
        return seen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(dedent(APP))
    return tmp_path


@pytest.mark.timeout(120)
def test_metrics_agree_with_the_client_to_the_request_over_restarts_of_workers(folder: Path) -> None:
    with serving(["shop", *FLAGS], cwd=folder, env=MANAGED) as server:
        service = Service(server)
        first = service.wait_for_workers(set())
        expected = service.ask()
        assert service.counted() == expected

        server.process.send_signal(signal.SIGHUP)
        second = service.wait_for_workers(first)
        assert service.counted() == expected
        expected += service.ask()
        assert service.counted() == expected

        killed = second.pop()
        os.kill(killed, signal.SIGKILL)
        service.wait_for_workers({killed})
        assert service.counted() == expected
        expected += service.ask()
        assert service.counted() == expected
        sales = service.samples("shop_sales_total").total()
        assert sales == 3 * CLIENTS * ROUNDS, "the application's own metrics are there as well"
        assert service.samples("ashapp_ended_workers_total").total() == WORKERS + 1
