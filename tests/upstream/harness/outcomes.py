# SPDX-License-Identifier: MIT
"""A pytest plugin that writes what became of each test, and how many requests it made, to a JSON file."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import _pytest.compat
import _pytest.monkeypatch
import pytest

__all__ = ["count_request"]

_outcomes: dict[str, str] = {}
_reasons: dict[str, str] = {}
_requests: Counter[str] = Counter()
_current = ""


def count_request() -> None:
    """Count a request for the test that runs."""
    _requests[_current] += 1


# Flask's tests use pytest's own mark for what was not set by a name that pytest 9.2 no longer has.
if not hasattr(_pytest.monkeypatch, "notset"):
    setattr(_pytest.monkeypatch, "notset", _pytest.compat.NOTSET)  # noqa: B010 - a name it does not have


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, required=True, help="the JSON file to write")


def pytest_runtest_logstart(nodeid: str) -> None:
    global _current  # noqa: PLW0603 - one test runs at a time
    _current = nodeid


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # The worst of setup, call and teardown counts.
    if report.failed:
        _outcomes[report.nodeid] = "failed"
        _reasons.setdefault(report.nodeid, f"{report.when}: {report.longreprtext}")
    elif report.skipped:
        _outcomes[report.nodeid] = "skipped"
    else:
        _outcomes.setdefault(report.nodeid, "passed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    document: dict[str, Any] = {"outcomes": _outcomes, "reasons": _reasons, "requests": _requests}
    session.config.getoption("outcomes").write_text(json.dumps(document), encoding="utf-8")
