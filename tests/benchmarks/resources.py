# SPDX-License-Identifier: MIT
"""What a container of the service needs: CPU and memory, idle and loaded, and requests and limits from that.

The reference API is served with the workers and threads of ``manifests/base/settings.env``, on all cores.
The load has four parts, one after the other: small answers by a sync view, for the CPU time of a request; as
many uploads at once as there are threads, sent slowly enough for all to be under way together; as many
bodies that are kept whole, and answered with six times as much; and requests that wait on the event loop.
Memory is the peak of all, of all processes (Linux's VmHWM, proc(5)). It is bounded by the budget for bodies
that the manifests set, since this machine has more memory than the container.
"""

import http.client
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.servers.apps import Workload
from tests.benchmarks.servers.commands import PORT, Server
from tests.benchmarks.servers.processes import (
    RunningServer,
    ServerError,
    cores,
    family,
    running,
    tree_seconds,
)

__all__ = ["Resources", "measure", "recommend", "resident", "service", "variables"]

_SETTINGS = Path(__file__).parents[2] / "manifests" / "base" / "settings.env"
_VERSION = Workload("version", "the reference API, a small JSON answer", "/version")

_CONNECTIONS = 16
_WAITING = 200
_CHUNK = b"x" * 65536
_CHUNKS = 64
# Each becomes six characters of JSON.
_KEPT = bytes(1_000_000)
_PAUSE = 0.02  # seconds between chunks
_TIMEOUT = 60  # seconds

# Memory past the peak that was seen: what an application adds, and what fragments over days.
_HEADROOM = 2
_STEP = 32  # MiB

_Answers = Callable[[http.client.HTTPConnection], int]


@dataclass(frozen=True)
class Resources:
    """Measures of one run: times in seconds, CPU in cores, memory in MiB."""

    start: float
    start_cpu: float
    idle_cpu: float
    idle_memory: float
    request_cpu: float
    loaded_cpu: float
    loaded_memory: float

    def rows(self) -> list[tuple[str, str]]:
        """Return the measures as the rows of a table."""
        return [
            ("start until the first answer, s", f"{self.start:.2f}"),
            ("CPU time of the start, s", f"{self.start_cpu:.2f}"),
            ("idle, cores", f"{self.idle_cpu:.3f}"),
            ("idle, MiB", f"{self.idle_memory:.0f}"),
            ("CPU time of a small answer, ms", f"{self.request_cpu * 1000:.2f}"),
            ("loaded, cores at most", f"{self.loaded_cpu:.2f}"),
            ("loaded, MiB at most", f"{self.loaded_memory:.0f}"),
        ]


def variables(text: str) -> dict[str, str]:
    """Return the settings of an env file, by their names without the prefix, in lower case."""
    pairs = (line.split("=", 1) for line in text.splitlines() if line.startswith("ASHAPP_"))
    return {name.removeprefix("ASHAPP_").lower(): value for name, value in pairs}


def service() -> tuple[Server, int, int]:
    """Return the server that the manifests run, and its workers and threads."""
    given = variables(_SETTINGS.read_text(encoding="utf-8"))
    workers, threads = given["workers"], given["threads"]
    arguments = ("--workers", workers, "--threads", threads, "--limit-buffered", given["limit_buffered"])
    apart = ("--management-port", "0", "--drain-delay", "0", "--host", "127.0.0.1", "--port", PORT)
    command = ("ashapp", "serve", *arguments, *apart)
    return Server("service", "`ashapp serve`", command, ()), int(workers), int(threads)


def recommend(measured: Resources, workers: int) -> Mapping[str, str]:
    """Return requests and limits.

    A worker's Python runs on one core at a time. Half of one is asked for, so that an autoscaler, whose
    target is a share of that, has time to add a pod. The limit is above what was seen: it throttles nothing.
    """
    memory = f"{math.ceil(measured.loaded_memory * _HEADROOM / _STEP) * _STEP}Mi"
    return {
        "requests.cpu": f"{500 * workers}m",
        "requests.memory": memory,
        "limits.cpu": str(max(workers + 1, math.ceil(measured.loaded_cpu))),
        "limits.memory": memory,
    }


def measure(seconds: float = 5) -> tuple[Resources, Mapping[str, str]]:
    """Run the service idle and then loaded, for *seconds* each; return the measures and what they recommend.

    Raises `ServerError` where it does not answer as it should.
    """
    server, workers, threads = service()
    began = time.monotonic()
    with running(server, _VERSION, cores()[0]) as process:
        start, start_cpu = time.monotonic() - began, tree_seconds(process.pid)
        _unpin(process.pid)
        idle_cpu = _cpu(process, lambda: time.sleep(seconds))[0] / seconds
        idle_memory = _memory(process, "VmRSS")
        loads = [_load(process, *load) for load in _loads(threads, seconds)]
        loaded_memory = _memory(process, "VmHWM")
    measured = Resources(
        start,
        start_cpu,
        idle_cpu,
        idle_memory,
        request_cpu=loads[0].cpu / loads[0].answers,
        loaded_cpu=max(load.cpu / load.seconds for load in loads),
        loaded_memory=loaded_memory,
    )
    return measured, recommend(measured, workers)


@dataclass(frozen=True)
class _Load:
    answers: int
    cpu: float
    seconds: float


def _loads(threads: int, seconds: float) -> list[tuple[int, _Answers]]:
    """Return the parts of the load: connections, and what each of them asks for."""
    return [
        (_CONNECTIONS, lambda connection: _small(connection, seconds)),
        (threads, _upload),
        (threads, _keep),
        (_WAITING, _delay),
    ]


def _load(server: RunningServer, connections: int, ask: _Answers) -> _Load:
    def connect(_: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT)
        try:
            return ask(connection)
        finally:
            connection.close()

    answers: list[int] = []

    def run() -> None:
        with ThreadPoolExecutor(connections) as pool:
            answers.extend(pool.map(connect, range(connections)))

    cpu, elapsed = _cpu(server, run)
    return _Load(sum(answers), cpu, elapsed)


def _small(connection: http.client.HTTPConnection, seconds: float) -> int:
    answers, deadline = 0, time.monotonic() + seconds
    while not answers or time.monotonic() < deadline:
        connection.request("GET", _VERSION.path)
        answers += _answered(connection)
    return answers


def _upload(connection: http.client.HTTPConnection) -> int:
    def chunks() -> Iterator[bytes]:
        for _ in range(_CHUNKS):
            time.sleep(_PAUSE)
            yield _CHUNK

    connection.request("POST", "/upload", chunks(), {"Content-Length": str(_CHUNKS * len(_CHUNK))})
    return _answered(connection)


def _keep(connection: http.client.HTTPConnection) -> int:
    connection.request("POST", "/echo", _KEPT)
    return _answered(connection)


def _delay(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/delay/1")
    return _answered(connection)


def _answered(connection: http.client.HTTPConnection) -> int:
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise ServerError(f"the service answers with {response.status}: {body!r}")
    return 1


def _cpu(server: RunningServer, work: Callable[[], object]) -> tuple[float, float]:
    """Return the CPU time that the server uses during *work*, and how long that takes."""
    began, before = time.monotonic(), tree_seconds(server.pid)
    work()
    return tree_seconds(server.pid) - before, time.monotonic() - began


def _memory(server: RunningServer, name: str) -> float:
    statuses = (Path(f"/proc/{pid}/status").read_text() for pid in family(server.pid))
    return sum(resident(status, name) for status in statuses) / 1024


def resident(status: str, name: str) -> int:
    """Return the value of *name* in ``/proc/<pid>/status``, in KiB."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise ValueError(f"no {name} in {status!r}")
    return int(found[1])


def _unpin(root: int) -> None:
    """Let the threads that there are, and so those that they start, run on all cores."""
    allowed = os.sched_getaffinity(0)
    for pid in family(root):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), allowed)
