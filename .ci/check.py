#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run environments of tox, one after the other; run what fails in one once more, and tell of it at the end.

Tests over sockets meet whatever else the machine does. A test that passes at the second attempt makes no run
red, but it is named and counted: on standard output, and in the summary of a job on GitHub.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

#: Seconds that one of the optional environments may need.
NEEDED = 600


class Report:
    """What was run a second time, and whether it passed then."""

    def __init__(self) -> None:
        self._names: dict[str, bool] = {}

    def add(self, environment: str, names: list[str], *, passed: bool) -> None:
        """Note *names*, or the whole *environment* where no test is known to have failed."""
        for name in names or ["no test by name"]:
            self._names[f"{environment}: {name}"] = passed

    def lines(self) -> Iterator[str]:
        """Return one line with the count, and one for each name."""
        yield f"Run a second time: {len(self._names)}"
        for name, passed in self._names.items():
            yield f"- {name} ({'passed' if passed else 'failed again'})"

    def tell(self) -> None:
        """Print it; on GitHub also as the job's summary and annotations."""
        print(*self.lines(), sep="\n", flush=True)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                print(*self.lines(), sep="\n", file=file)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for name in self._names:
                print(f"::warning title=Run a second time::{name}", flush=True)


def check(environment: str, seconds: float, report: Report) -> bool:
    """Run *environment*, and what failed in it once more; return whether it is green in the end."""
    end = time.monotonic() + seconds
    # pytest keeps its cache in the folder of tox's environment.
    failed = Path(".tox", environment, ".pytest_cache", "v", "cache", "lastfailed")
    failed.unlink(missing_ok=True)
    if tox(environment, seconds):
        return True
    names = sorted(json.loads(failed.read_text())) if failed.exists() else []
    print(f"Once more: {environment}", *names, sep="\n  ", flush=True)
    options = "--last-failed --cov-append" if environment.startswith("py3") else "--last-failed"
    passed = tox(environment, end - time.monotonic(), PYTEST_ADDOPTS=options)
    report.add(environment, names, passed=passed)
    return passed


def tox(environment: str, seconds: float, **variables: str) -> bool:
    """Return whether *environment* is green; after so many *seconds* it is not."""
    command = [sys.executable, "-m", "tox", "run", "-e", environment]
    if seconds < math.inf:
        command = ["timeout", str(max(seconds, 1)), *command]
    return subprocess.run(command, env={**os.environ, **variables}, check=False).returncode == 0


def main() -> int:
    """Return the exit code: 0 if all is green."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environments", nargs="+", metavar="environment")
    parser.add_argument("--if-time", nargs="*", default=[], metavar="environment", help="optional ones")
    parser.add_argument("--seconds", type=float, default=math.inf, help="the time for all of them")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    report = Report()
    try:
        for environment in [*options.environments, *options.if_time]:
            is_optional = environment in options.if_time
            left = end - time.monotonic() if is_optional else math.inf
            python = environment.replace("py3", "python3.")
            if left < NEEDED:
                print(f"NOT TESTED: {environment}. Only {left:.0f} s are left.", flush=True)
            elif is_optional and python != environment and not shutil.which(python):
                print(f"NOT TESTED: {environment}. There is no {python} on this machine.", flush=True)
            elif not check(environment, left, report):
                return 1
    finally:
        report.tell()
    return 0


if __name__ == "__main__":
    sys.exit(main())
