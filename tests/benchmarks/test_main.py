# SPDX-License-Identifier: MIT

import pytest
from click.testing import CliRunner

from tests.benchmarks import __main__ as command
from tests.benchmarks import load
from tests.benchmarks.load import Load
from tests.benchmarks.servers.apps import Workload


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_prints_the_report_and_a_load_that_fails_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    def run(url: str, workload: Workload, connections: int, seconds: int) -> Load:
        if fails:
            raise load.LoadError("wrk ended with 1: unable to connect")
        return Load(connections, float(seconds), 0, 0, p99=0.002)

    monkeypatch.setattr(load, "available", lambda: True)
    monkeypatch.setattr(load, "run", run)
    options = ["--only", "raw", "--workload", "sleep", "--rounds", "2", "--seconds", "1"]
    result = CliRunner().invoke(command.main, options)
    assert result.exit_code == fails, result.output
    if fails:
        assert result.stderr.splitlines()[-1] == "wrk ended with 1: unable to connect"
    else:
        assert "**sleep**: sync view that sleeps 0.05 s; 32 keep-alive connections" in result.stdout
        assert "round 2 of 2: raw" in result.stderr
