# SPDX-License-Identifier: MIT
"""What runs an environment of tox, and what fails in it a second time; a module stands in for tox."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.checkout import ROOT

# Fails as often as the file "failures" says, and leaves the names of tests as pytest does.
TOX = """\
import json, os, pathlib, sys
print("tox", *sys.argv[1:], os.environ.get("PYTEST_ADDOPTS", ""))
left = pathlib.Path("failures")
count = int(left.read_text())
left.write_text(str(count - 1))
if count <= 0:
    sys.exit(0)
if sys.argv[-1] != "lint":
    found = pathlib.Path(".tox", sys.argv[-1], ".pytest_cache/v/cache/lastfailed")
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_text(json.dumps({"tests/test_a.py::test_b": True}))
sys.exit(1)
"""


def check(folder: Path, *arguments: str, failures: int = 0) -> tuple[int, list[str]]:
    (folder / "tox.py").write_text(TOX)
    (folder / "failures").write_text(str(failures))
    github = {"GITHUB_STEP_SUMMARY": str(folder / "summary"), "GITHUB_ACTIONS": "true"}
    result = subprocess.run(
        [sys.executable, ROOT / ".ci" / "check.py", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTEST_ADDOPTS": "", **github},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not result.stderr
    return result.returncode, [line.strip() for line in result.stdout.splitlines()]


def test_what_passes_is_run_once(tmp_path: Path) -> None:
    assert check(tmp_path, "lint", "py311") == (
        0,
        ["tox run -e lint", "tox run -e py311", "Run a second time: 0"],
    )


@pytest.mark.parametrize(("failures", "outcome"), [(1, "passed"), (2, "failed again")])
def test_a_test_that_is_run_a_second_time_is_named_and_counted(
    tmp_path: Path, failures: int, outcome: str
) -> None:
    code, lines = check(tmp_path, "py311", failures=failures)
    told = ["Run a second time: 1", f"- py311: tests/test_a.py::test_b ({outcome})"]
    assert code == failures - 1
    assert lines == [
        "tox run -e py311",
        *("Once more: py311", "tests/test_a.py::test_b"),
        "tox run -e py311 --last-failed --cov-append",
        *told,
        "::warning title=Run a second time::py311: tests/test_a.py::test_b",
    ]
    assert (tmp_path / "summary").read_text().splitlines() == told


def test_an_environment_without_tests_is_named_itself(tmp_path: Path) -> None:
    code, lines = check(tmp_path, "lint", "types", failures=2)
    assert code == 1
    assert "- lint: no test by name (failed again)" in lines
    assert "tox run -e types" not in lines


def test_what_there_is_no_time_or_no_python_for_is_said(tmp_path: Path) -> None:
    _, lines = check(tmp_path, "lint", "--if-time", "container", "--seconds", "500")
    assert [line for line in lines if line.startswith("NOT TESTED: container. Only ")]
    _, lines = check(tmp_path, "lint", "--if-time", "py399", "container")
    assert "NOT TESTED: py399. There is no python3.99 on this machine." in lines
    assert "tox run -e container" in lines
