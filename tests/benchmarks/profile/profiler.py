# SPDX-License-Identifier: MIT
"""Where the time of a request goes: `ashapp serve` by stage, in µs and in calls.

Time is sampled from outside, by py-spy: whoever holds the interpreter's lock is seen, thread or greenlet. A
stage's share of the samples is taken for its share of the CPU time that a request has cost just before. Calls
are counted in a run of its own, of one request after the other: counting takes longer than what is counted.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread

from tests.benchmarks import load
from tests.benchmarks.profile import stages
from tests.benchmarks.servers.apps import WORKLOADS, Workload
from tests.benchmarks.servers.commands import SERVERS, Server
from tests.benchmarks.servers.processes import (
    RunningServer,
    ServerError,
    cores,
    pinned,
    running,
    tree_seconds,
)

__all__ = ["profile"]

_SAMPLES = 500  # per second
_WARM_UP = 1  # seconds

# By its title: what is asked for, and of which server.
_COLUMNS = {
    "sync, defaults": ("hello", "serve"),
    "sync, bare": ("hello", "serve-bare"),
    "async, defaults": ("async", "serve"),
    "async, bare": ("async", "serve-bare"),
}


def profile(connections: int, seconds: int, tell: Callable[[str], object]) -> str:
    """Return the table for a sync and an async view, by `serve` with its defaults and bare.

    Raises `ServerError` where a server, or py-spy, does not do as it should.
    """
    columns = {}
    for title, (workload, server) in _COLUMNS.items():
        tell(title)
        cpu, seen = _sampled(SERVERS[server], WORKLOADS[workload], connections, seconds)
        columns[title] = cpu, seen, _counted(SERVERS[server], WORKLOADS[workload])
    return stages.breakdown(columns)


def _sampled(
    server: Server, workload: Workload, connections: int, seconds: int
) -> tuple[float, Counter[str]]:
    server_core, load_core = cores()
    with running(server, workload, server_core) as up, pinned(load_core):
        load.run(up.url, workload, connections, _WARM_UP)
        before = tree_seconds(up.pid)
        done = load.run(up.url, workload, connections, seconds)
        cpu = (tree_seconds(up.pid) - before) / max(1, done.requests) * 1e6
        seen: list[Counter[str]] = []
        sampler = Thread(target=lambda: seen.append(_sample(up, seconds)))
        sampler.start()
        load.run(up.url, workload, connections, seconds + 1)
        sampler.join()
    if not seen:
        raise ServerError("py-spy could not read the server's memory: see `py-spy record --help`")
    return cpu, seen[0]


def _sample(server: RunningServer, seconds: int) -> Counter[str]:
    with tempfile.NamedTemporaryFile() as file:
        options = ["--gil", "--nonblocking", "--format", "raw"]
        options += ["--rate", str(_SAMPLES), "--duration", str(seconds)]
        py_spy = str(Path(sys.executable).with_name("py-spy"))
        command = [py_spy, "record", *options, "--output", file.name, "--pid", str(server.pid)]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        return stages.samples(Path(file.name).read_text())


def _counted(server: Server, workload: Workload) -> dict[str, float]:
    arguments = tuple(
        argument.replace("servers.apps:app", "profile.counted:app") for argument in server.arguments
    )
    with running(replace(server, arguments=arguments), workload, cores()[0]) as up:
        before = _calls(up)
        requests = load.run(up.url, workload, 1, _WARM_UP).requests
        after = _calls(up)
    return {stage: (count - before.get(stage, 0)) / requests for stage, count in after.items()}


def _calls(server: RunningServer) -> dict[str, int]:
    with urllib.request.urlopen(f"{server.url}/calls") as response:
        calls: dict[str, int] = json.load(response)
        return calls
