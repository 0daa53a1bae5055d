# SPDX-License-Identifier: MIT
import time
from collections import Counter

import pytest

from tests.benchmarks import load
from tests.benchmarks.load import Load
from tests.benchmarks.profile import profiler
from tests.benchmarks.servers.apps import Workload
from tests.benchmarks.servers.processes import answer


@pytest.mark.parametrize(("server", "logs"), [("serve", True), ("serve-bare", False)])
def test_a_profile_tells_time_and_calls_by_stage(
    server: str,
    logs: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(url: str, workload: Workload, connections: int, seconds: int) -> Load:
        assert answer(int(url.rpartition(":")[2]), workload) == 200
        time.sleep(0.2)  # a line is made some milliseconds after its request
        return Load(connections, float(seconds), 0, 0, p99=0.002)

    monkeypatch.setattr(load, "run", run)
    monkeypatch.setattr(profiler, "_sample", lambda *_: Counter({"parse": 1, "Flask": 4}))
    monkeypatch.setattr(profiler, "_COLUMNS", {"sync": ("hello", server)})
    lines = profiler.profile(1, 1, lambda _: None).splitlines()
    assert "sync, µs" in lines[0]
    calls = {
        row[0]: int(row[-1])
        for row in map(str.split, (line.strip("|").replace("|", "") for line in lines[2:]))
    }
    assert calls["Flask"] > 20
    assert (calls.get("log", 0) > 0) is logs
