# SPDX-License-Identifier: MIT

import pytest

from tests.benchmarks.load import Load
from tests.benchmarks.report import markdown, summarize
from tests.benchmarks.rounds import Plan, Turn
from tests.benchmarks.servers.apps import WORKLOADS
from tests.benchmarks.servers.commands import SERVERS

PLAN = Plan(WORKLOADS["hello"], connections=16, rounds=3, seconds=2, baseline="gthread")
FACTS = {"Python": "CPython 3.11.7"}


def turn(cpu: float, requests: int = 1000, failed: int = 0, socket_errors: int = 0) -> Turn:
    """A turn of two seconds that used *cpu* µs for each request."""
    load = Load(requests, 2.0, failed, socket_errors, p99=0.004)
    return Turn(load, cpu_seconds=cpu * max(requests, 1) / 1e6)


def test_the_median_over_the_rounds_counts_and_not_the_mean() -> None:
    summary = summarize({"ashapp": [turn(70), turn(1000), turn(80)]}, "gthread")["ashapp"]
    assert summary.cpu == pytest.approx(80)
    assert summary.cpu_least == pytest.approx(70)
    assert summary.cpu_most == pytest.approx(1000)
    assert summary.rate == 500
    assert summary.busy == pytest.approx(0.04)
    assert summary.p99 == 0.004


def test_ratios_are_taken_within_a_round() -> None:
    # The machine became slower by half in the last round, for both: the ratio stays.
    summaries = summarize(
        {
            "ashapp": [turn(80, 2000), turn(80, 2000), turn(120, 1000)],
            "gthread": [turn(160, 1000), turn(160, 1000), turn(240, 500)],
        },
        "gthread",
    )
    assert summaries["ashapp"].cpu_ratio == pytest.approx(0.5)
    assert summaries["ashapp"].rate_ratio == pytest.approx(2)
    assert summaries["gthread"].cpu_ratio == pytest.approx(1)


def test_the_report_tells_of_failures_and_where_nothing_is_answered_of_no_cost() -> None:
    turns = {"asgiref": [turn(300, failed=500, socket_errors=3)], "raw": [turn(0, requests=0)]}
    summaries = summarize(turns, "gthread")
    assert (summaries["raw"].cpu, summaries["raw"].cpu_ratio, summaries["raw"].failed) == (None, None, 0)
    report = markdown(PLAN, [SERVERS["asgiref"], SERVERS["raw"]], summaries, FACTS)
    assert "| - to - |" in " ".join(report.split())
    assert "50.0%" in report
    assert "asgiref on uvicorn: 3 socket errors" in report
    assert "4xx or 5xx count as requests" in report


def test_the_report_has_a_row_and_a_command_line_for_each_server() -> None:
    servers = [SERVERS["ashapp"], SERVERS["gthread"]]
    summaries = summarize({"ashapp": [turn(80)], "gthread": [turn(160)]}, "gthread")
    lines = markdown(PLAN, servers, summaries, FACTS).splitlines()
    assert lines[0].startswith("**hello**: ")
    assert "16 keep-alive connections, median of 3 rounds of 2 s" in lines[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert [row[0] for row in rows[2:]] == [server.title for server in servers]
    assert rows[2][1:] == ["80.0", "80.0 to 80.0", "0.50", "500", "1.00", "4%", "4.0", "0.0%"]
    assert "- Python: CPython 3.11.7" in lines
    for server in servers:
        assert f"- {server.title}: `{server.command_line()}`" in lines
    assert not any("error" in line and "log-level" not in line for line in lines)
