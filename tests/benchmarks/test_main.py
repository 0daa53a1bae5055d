# SPDX-License-Identifier: MIT
from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from tests.benchmarks import __main__ as command
from tests.benchmarks import load, resources
from tests.benchmarks.load import Load
from tests.benchmarks.servers.apps import Workload


def test_without_wrk_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "available", lambda: False)
    result = CliRunner().invoke(command.main, [])
    assert (result.exit_code, result.output) == (2, "the benchmark needs wrk: apt-get install wrk\n")


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


@pytest.mark.parametrize("options", [["--only", "apache"], ["--workload", "x"], ["--rounds", "0"]])
def test_wrong_options_are_refused(options: Sequence[str]) -> None:
    assert CliRunner().invoke(command.main, options).exit_code == 2


def test_resources_are_printed_with_what_they_recommend(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = resources.Resources(0.5, 0.4, 0.001, 57, 0.0002, 0.9, 70)
    monkeypatch.setattr(resources, "measure", lambda: (measured, resources.recommend(measured, 1)))
    result = CliRunner().invoke(command.main, ["--resources"])
    assert result.exit_code == 0, result.output
    assert "| loaded, MiB at most             |       70 |" in result.output
    assert "| limits.memory   |       160Mi |" in result.output
