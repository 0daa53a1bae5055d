# SPDX-License-Identifier: MIT
"""Running the test suite of another project, twice, and comparing what became of each test."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Comparison", "Run", "SuiteError", "run_suite"]

_HARNESS = Path(__file__).parent
_TIMEOUT = 150  # seconds


class SuiteError(RuntimeError):
    """The suite did not come to its end."""


@dataclass(frozen=True)
class Run:
    """What became of each test: by its id the outcome, the reason of a failure, the number of requests."""

    outcomes: Mapping[str, str]
    reasons: Mapping[str, str]
    requests: Mapping[str, int]

    @property
    def passed(self) -> set[str]:
        """The tests that passed."""
        return {test for test, outcome in self.outcomes.items() if outcome == "passed"}


@dataclass(frozen=True)
class Comparison:
    """A suite on plain WSGI and through the bridge, and the exceptions that are made."""

    name: str
    plain: Run
    bridged: Run
    exceptions: Mapping[str, str]

    @property
    def broken(self) -> dict[str, str]:
        """The tests that pass on plain WSGI only, and are no exceptions, with the end of what they say."""
        tests = sorted(self.plain.passed - self.bridged.passed - set(self.exceptions))
        return {test: self.bridged.reasons.get(test, "it did not run")[-1500:] for test in tests}

    @property
    def needless(self) -> list[str]:
        """The exceptions that pass through the bridge, or are no tests that pass on plain WSGI."""
        needed = self.plain.passed - self.bridged.passed
        return sorted(set(self.exceptions) - needed)

    @property
    def misrouted(self) -> dict[str, tuple[int, int]]:
        """The tests that pass but whose requests did not all go through the bridge, with both numbers."""
        counts = {
            test: (self.plain.requests.get(test, 0), self.bridged.requests.get(test, 0))
            for test in self.plain.passed & self.bridged.passed
        }
        return {test: (plain, bridged) for test, (plain, bridged) in counts.items() if plain != bridged}

    def __str__(self) -> str:
        return (
            f"{self.name}: {len(self.plain.outcomes)} tests, {len(self.plain.passed)} pass on plain WSGI, "
            f"{len(self.plain.passed & self.bridged.passed)} of these through the bridge "
            f"({sum(self.bridged.requests.values())} requests of {len(self.bridged.requests)} tests), "
            f"{len(self.exceptions)} exceptions"
        )


def run_suite(source: Path, report: Path, *plugins: str) -> Run:
    """Run the tests of the project in *source* with the given pytest plugins and no others.

    The installed package is tested, not the copy in *source*; warnings are as the project sets them.

    Raises:
        SuiteError: pytest did not come to its end; it could not import a module, for example.

    """
    options = [option for plugin in ("harness.outcomes", *plugins) for option in ("-p", plugin)]
    process = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *options),
            *(f"--outcomes={report}", f"--basetemp={report.with_suffix('.tmp')}"),
            *("-o", "faulthandler_timeout=60", "tests"),
        ],
        cwd=source,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if process.returncode not in {0, 1} or not report.exists():
        output = process.stdout[-8000:]
        raise SuiteError(f"pytest ended with {process.returncode} in {source.name}:\n{output}")
    return Run(**json.loads(report.read_text(encoding="utf-8")))


def _environment() -> dict[str, str]:
    # Settings of the person who runs the tests, or of the pytest around, must not reach the suite.
    foreign = ("PYTEST_", "PYTHON", "FLASK_", "ASHAPP_", "COV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(_HARNESS)}
