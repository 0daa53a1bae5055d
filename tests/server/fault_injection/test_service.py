# SPDX-License-Identifier: MIT
"""Faults of a service over sockets: a WSGI application that is not Flask's, alone and with two workers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.client import fetch_all
from tests.support.process import ServerProcess, serving
from tests.support.waiting import until

APP = '''
import os


def app(environ, start_response):
    """Answer with the process id."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
'''


class Service:
    """A service, and what its management port says."""

    def __init__(self, server: ServerProcess, workers: int) -> None:
        self.server = server
        self.http = httpx.Client(verify=False, trust_env=False, timeout=20)
        self.management = server.management_url
        until(lambda: len(self.pids()) == workers, 60)

    def ask(self, **fault: Any) -> dict[str, Any]:
        response = self.http.post(f"{self.management}/faults", json=fault)
        assert response.status_code == 201, response.text
        asked: dict[str, Any] = response.json()
        return asked

    def told(self, path: str) -> Any:
        return self.http.get(f"{self.management}{path}").json()

    def clear(self) -> None:
        self.http.delete(f"{self.management}/faults").raise_for_status()

    def pids(self) -> list[int]:
        return [worker["pid"] for worker in self.told("/readyz")["workers"] if worker["ready"]]

    def answers(self, path: str = "/") -> set[tuple[int, str]]:
        """Return the statuses of some requests, each on a connection of its own, and who has answered."""
        found = fetch_all(self.server.address, [path] * 8)
        return {(each.status, each.body.decode() if each.status == 200 else "") for each in found}

    def until_answers(self, condition: Callable[[set[tuple[int, str]]], object], path: str = "/") -> None:
        until(lambda: condition(self.answers(path)), 60)


@contextmanager
def service(folder: Path, workers: int) -> Iterator[Service]:
    (folder / "plain.py").write_text(APP)
    args = ["plain:app", "--workers", str(workers), "--faults", "--management-port", "0"]
    with serving(args, cwd=folder) as server:
        made = Service(server, workers)
        yield made
        made.http.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("pair"), 2) as made:
        yield made


def test_a_fault_reaches_all_workers_until_it_is_cleared(pair: Service) -> None:
    fault = pair.ask(kind="error", status=503, route="/sick")
    assert fault["workers"] == sorted(pair.pids())
    pair.until_answers(lambda found: found == {(503, "")}, "/sick")
    assert {status for status, _ in pair.answers("/well")} == {200}
    pair.clear()
    pair.until_answers(lambda found: {status for status, _ in found} == {200}, "/sick")


def test_a_fault_reaches_the_one_worker_that_is_named(pair: Service) -> None:
    _, well = pids = sorted(pair.pids())
    pair.ask(kind="error", worker=pids[0])
    pair.until_answers(lambda found: (500, "") in found)
    assert pair.answers() <= {(500, ""), (200, str(well))}
    pair.ask(kind="unready", worker=well)
    until(lambda: pair.pids() == [pids[0]])
    pair.clear()
    until(lambda: sorted(pair.pids()) == pids)


def test_a_worker_that_crashes_is_replaced_by_one_without_faults(pair: Service) -> None:
    first, second = sorted(pair.pids())
    pair.ask(kind="unready", worker="one")
    pair.ask(kind="crash", worker="one")
    pair.server.wait_for_log(f"Worker {first} was ended by SIGKILL; another is started")
    until(lambda: second in pair.pids() and len(pair.pids()) == 2, 60)
    assert pair.told("/faults") == {"faults": []}


def test_the_public_port_knows_nothing_of_it(pair: Service) -> None:
    response = httpx.post(f"{pair.server.base_url}/faults", json={"kind": "crash"}, trust_env=False)
    assert response.status_code == 200, "it is the application that answers"
    assert int(response.text) in pair.pids()


def test_a_process_that_serves_alone_has_faults_too(tmp_path: Path) -> None:
    with service(tmp_path, 1) as made:
        pid = made.server.pid
        made.ask(kind="error")
        assert made.answers() == {(500, "")}
        assert 'ashapp_faults_total{ashapp_fault="error"} 8.0' in httpx.get(f"{made.management}/metrics").text
        made.clear()
        assert made.answers() == {(200, str(pid))}
        made.ask(kind="crash")
        assert made.server.process.wait(30) == -9
        assert "Fault 2 begins, as requested: crash, for " in made.server.stderr
