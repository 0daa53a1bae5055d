# SPDX-License-Identifier: MIT
import pytest

from tests.benchmarks.profile.stages import REST, breakdown, samples, stage_of

PLACES = [
    ("uvicorn/protocols/http/httptools_impl.py", "RequestResponseCycle.send", "send"),
    ("/lib/site-packages/uvicorn/protocols/http/httptools_impl.py", "HttpToolsProtocol.on_url", "parse"),
    ("backend/ashapp/server/protocols/head.py", "check", "parse"),
    ("ashapp/observe/logs/lines.py", "flush", "log"),
    ("prometheus_client/metrics.py", "Counter.inc", "metrics"),
    ("ashapp/bridge/flask/dispatch.py", "dispatch", "Flask"),
    ("ashapp/bridge/concurrency/greenlets/pool.py", "take", "hand-over"),
    ("ashapp/bridge/wsgi.py", "WsgiToAsgi.__call__", "bridge"),
    ("json/encoder.py", "JSONEncoder.encode", None),
]


@pytest.mark.parametrize(("file", "function", "stage"), PLACES)
def test_code_belongs_to_a_stage_by_its_file(file: str, function: str, stage: str | None) -> None:
    assert stage_of(file, function) == stage


def test_a_sample_belongs_to_the_innermost_stage_and_the_standard_library_to_its_caller() -> None:
    raw = (
        "thread (1): MainThread;run (asyncio/runners.py:118) 1\n"
        "thread (1): MainThread;__call__ (ashapp/bridge/wsgi.py:9);app (flask/app.py:3);"
        "dumps (json/__init__.py:2) 30\n"
        "<module> (<frozen runpy>:88);f (ashapp/bridge/wsgi.py:1) 4\n"
    )
    assert samples(raw) == {REST: 1, "Flask": 30, "bridge": 4}


def test_the_table_shares_the_time_of_a_request_among_the_stages_that_were_seen() -> None:
    text = breakdown({"sync": (100.0, {"parse": 1, "Flask": 3}, {"parse": 7.2, "Flask": 10.0})})
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert rows[0] == ["stage", "sync, µs", "calls"]
    assert rows[2:] == [["parse", "25.0", "7"], ["Flask", "75.0", "10"], ["all", "100.0", "17"]]
