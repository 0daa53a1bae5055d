# SPDX-License-Identifier: MIT
"""The load generator: wrk, one thread of it, for some seconds."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.servers.apps import Workload

__all__ = ["MISSING", "Load", "LoadError", "available", "command", "parse", "run"]

MISSING = "the benchmark needs wrk: apt-get install wrk"

_POST = Path(__file__).with_name("post.lua")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = r"([\d.]+)(us|ms|s|m|h)\b"


class LoadError(Exception):
    """The load generator failed: mostly as the server has ended."""


@dataclass(frozen=True)
class Load:
    """What wrk counted: answers, those of them with status 4xx or 5xx, and connections that failed."""

    requests: int
    seconds: float
    failed: int
    socket_errors: int
    p99: float  # seconds


def available() -> bool:
    """Say whether wrk is installed."""
    return shutil.which("wrk") is not None


def command(url: str, workload: Workload, connections: int, seconds: int) -> list[str]:
    """Return the command line of wrk for *workload* of the server at *url*."""
    options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    options += ["--timeout", "10s", "--latency"]
    if workload.body is None:
        return ["wrk", *options, url + workload.path]
    return ["wrk", *options, "--script", str(_POST), url + workload.path, "--", workload.body]


def run(url: str, workload: Workload, connections: int, seconds: int) -> Load:
    """Put the server at *url* under load for *seconds*.

    Raises `LoadError` if wrk fails, and `subprocess.TimeoutExpired` if it does not end.
    """
    done = subprocess.run(
        command(url, workload, connections, seconds),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    if done.returncode != 0:
        raise LoadError(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return parse(done.stdout)


def parse(output: str) -> Load:
    """Read the report of ``wrk --latency``.

    Raises `ValueError` if it is not one.
    """
    total = re.search(rf"(\d+) requests in {_TIME}", output)
    latency = re.search(rf"^\s*99%\s+{_TIME}", output, re.MULTILINE)
    if total is None or latency is None:
        raise ValueError(f"not a report of wrk with latencies: {output!r}")
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    return Load(
        requests=int(total[1]),
        seconds=float(total[2]) * _SECONDS[total[3]],
        failed=int(failed[1]) if failed else 0,
        socket_errors=sum(map(int, errors.groups())) if errors else 0,
        p99=float(latency[1]) * _SECONDS[latency[2]],
    )
