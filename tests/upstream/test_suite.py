# SPDX-License-Identifier: MIT
from pathlib import Path

import pytest

from tests.upstream.suite import Comparison, Run, SuiteError, run_suite

TESTS = """
import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Response

def test_passes():
    assert Client(Response("x")).get("/").text == "x"

def test_fails():
    Client(Response("x")).get("/")
    assert False, "on purpose"

@pytest.mark.skip
def test_is_skipped():
    pass

@pytest.fixture
def broken():
    yield
    raise ValueError("in teardown")

def test_fails_late(broken):
    pass
"""

PASSED = "passed"
FAILED = "failed"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(TESTS)
    return tmp_path


@pytest.mark.parametrize("plugin", ["harness.plain", "harness.through_bridge"])
def test_a_run_says_what_became_of_each_test(source: Path, plugin: str) -> None:
    run = run_suite(source, source / "report.json", plugin)
    name = "tests/test_it.py::test_"
    assert run.outcomes == {
        f"{name}passes": PASSED,
        f"{name}fails": FAILED,
        f"{name}is_skipped": "skipped",
        f"{name}fails_late": FAILED,
    }
    assert run.passed == {f"{name}passes"}
    assert "on purpose" in run.reasons[f"{name}fails"]
    assert run.reasons[f"{name}fails_late"].startswith("teardown")
    assert run.requests == {f"{name}passes": 1, f"{name}fails": 1}


def test_a_suite_that_can_not_run_is_an_error(source: Path) -> None:
    with pytest.raises(SuiteError, match="No module named"):
        run_suite(source, source / "report.json", "no_such_plugin")


def compare(plain: dict[str, str], bridged: dict[str, str], *exceptions: str) -> Comparison:
    return Comparison(
        "suite", Run(plain, {}, {}), Run(bridged, {}, {}), dict.fromkeys(exceptions, "for a reason")
    )


@pytest.mark.parametrize(
    ("plain", "bridged", "exceptions", "broken", "needless"),
    [
        ({"a": PASSED, "b": PASSED, "c": PASSED}, {"a": PASSED, "b": FAILED}, [], {"b", "c"}, []),
        ({"a": FAILED}, {"a": FAILED}, [], set(), []),
        ({"a": PASSED}, {"a": FAILED}, ["a"], set(), []),
        ({"a": PASSED}, {"a": PASSED}, ["a"], set(), ["a"]),
        ({"a": FAILED}, {"a": FAILED}, ["a"], set(), ["a"]),
        ({}, {}, ["a"], set(), ["a"]),
    ],
)
def test_a_test_is_broken_that_passes_on_plain_wsgi_only(
    plain: dict[str, str],
    bridged: dict[str, str],
    exceptions: list[str],
    broken: set[str],
    needless: list[str],
) -> None:
    """Unless an exception is made, and that has to be needed."""
    comparison = compare(plain, bridged, *exceptions)
    assert set(comparison.broken) == broken
    assert comparison.needless == needless


def test_requests_that_took_another_way_are_told() -> None:
    outcomes = {"a": PASSED, "b": PASSED, "c": FAILED}
    comparison = Comparison(
        "suite",
        Run(outcomes, {}, {"a": 2, "b": 1, "c": 1}),
        Run(outcomes, {}, {"a": 1, "b": 1}),
        {},
    )
    assert comparison.misrouted == {"a": (2, 1)}
