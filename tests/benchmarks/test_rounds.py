# SPDX-License-Identifier: MIT
import os

import pytest

from tests.benchmarks import load
from tests.benchmarks.load import Load
from tests.benchmarks.rounds import Plan, measure
from tests.benchmarks.servers.apps import WORKLOADS, Workload
from tests.benchmarks.servers.commands import SERVERS
from tests.benchmarks.servers.processes import RunningServer

LOAD = Load(requests=1000, seconds=2.0, failed=0, socket_errors=0, p99=0.002)


def test_each_round_gives_each_server_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(url: str, workload: Workload, connections: int, seconds: int) -> Load:
        asked.append((url[-4:], seconds))
        return LOAD

    monkeypatch.setattr(load, "run", run)
    ports = {"ashapp": 8001, "raw": 8002}
    servers = [RunningServer(SERVERS[name], os.getpid(), port) for name, port in ports.items()]
    told: list[str] = []
    turns = measure(
        Plan(WORKLOADS["hello"], 16, rounds=2, seconds=7, baseline="granian"), servers, told.append
    )
    assert asked == [("8001", 1), ("8002", 1), *[("8001", 7), ("8002", 7)] * 2]
    assert [turn.load for turn in turns["ashapp"]] == [LOAD, LOAD]
    assert set(turns) == {"ashapp", "raw"}
    assert told[1].startswith("round 1 of 2: ashapp ")


@pytest.mark.parametrize("name", ["hello", "post"])
def test_flask_without_a_server_is_called_as_often_as_there_is_time_for(name: str) -> None:
    plan = Plan(WORKLOADS[name], 16, rounds=1, seconds=1, baseline="granian")
    server = RunningServer(SERVERS["flask"], os.getpid(), 0)
    (turn,) = measure(plan, [server], lambda _: None)["flask"]
    assert turn.load.requests > 10
    assert turn.load.failed == 0
    assert 0 < turn.cpu_seconds < turn.load.seconds * 2
