# SPDX-License-Identifier: MIT
"""Run a server on one core until it is done with, and tell the CPU time of its processes (Linux, proc(5))."""

import http.client
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.benchmarks.servers.apps import Workload
from tests.benchmarks.servers.commands import Server
from tests.support.process import end, free_port

__all__ = [
    "ProcessTime",
    "RunningServer",
    "ServerError",
    "answer",
    "cores",
    "family",
    "parse_stat",
    "pinned",
    "running",
    "tree",
    "tree_seconds",
]

_TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds

# Variables of the person who runs the benchmark must not reach the servers.
_FOREIGN = re.compile(
    r"(ASHAPP|FLASK|UVICORN|GRANIAN|GUNICORN|COVERAGE)_|"
    r"(PORT|WEB_CONCURRENCY|FORWARDED_ALLOW_IPS|PYTHONDEVMODE|PYTHONASYNCIODEBUG|PYTHONTRACEMALLOC)$"
)


class ServerError(Exception):
    """A server did not start, or did not answer as it should."""


@dataclass(frozen=True)
class RunningServer:
    """A server that was started; ``pid`` is the root of its processes."""

    server: Server
    pid: int
    port: int

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(server: Server, workload: Workload, core: int, timeout: float = 20) -> Iterator[RunningServer]:
    """Run *server* on *core* until the block ends; it has answered *workload* when the block begins.

    Raises `ServerError` where it has not within *timeout* seconds.
    """
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    # Metrics are counted, as in production; on the default port two that run at once would collide.
    environment["ASHAPP_MANAGEMENT_PORT"] = "0"
    with tempfile.TemporaryFile() as log:
        with pinned(core):
            process = subprocess.Popen(
                server.command(port),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            reason = _wait_until_answering(process, port, workload, timeout)
            if reason:
                raise ServerError(f"{server.name} {reason}: {server.command_line()}\n{_tail(log)}")
            yield RunningServer(server, process.pid, port)
        finally:
            end(process)


def answer(port: int, workload: Workload) -> int:
    """Send the request of *workload* once, on a connection of its own; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        if workload.body is None:
            connection.request("GET", workload.path)
        else:
            connection.request("POST", workload.path, workload.body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def _wait_until_answering(
    process: subprocess.Popen[bytes], port: int, workload: Workload, timeout: float
) -> str | None:
    """Wait for the first answer; return what is wrong, if something is."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return f"ended with exit code {process.returncode}"
        try:
            status = answer(port, workload)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return None if status == 200 else f"answers {workload.path} with {status}"
    return f"did not answer within {timeout:.0f} s"


def _tail(log: IO[bytes]) -> str:
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), 4000, max(0, size - 4000)).decode(errors="replace")


def cores() -> tuple[int, int]:
    """Return the core of the servers and that of the load: the first two allowed, or one for both."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)]


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this process on *core*, and for good the processes that it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class ProcessTime:
    """A process's parent, and the time in ticks that it, its threads and its ended children have used."""

    parent: int
    ticks: int


def parse_stat(text: str) -> ProcessTime:
    """Read ``/proc/<pid>/stat``: ppid, and utime + stime + cutime + cstime."""
    # The second field, the command in parentheses, may hold spaces and parentheses itself.
    fields = text[text.rindex(")") + 1 :].split()
    return ProcessTime(parent=int(fields[1]), ticks=sum(map(int, fields[11:15])))


def tree(root: int, processes: dict[int, ProcessTime]) -> set[int]:
    """Return *root* and its descendants among *processes*."""
    members: set[int] = set()
    found = {root} & processes.keys()
    while found:
        members |= found
        found = {pid for pid, process in processes.items() if process.parent in found} - members
    return members


def tree_seconds(root: int) -> float:
    """Return the CPU time, user and system, that *root* and its descendants have used so far."""
    processes = _processes()
    return sum(processes[pid].ticks for pid in tree(root, processes)) * _TICK


def family(root: int) -> set[int]:
    """Return the process ids of *root* and its descendants, now."""
    return tree(root, _processes())


def _processes() -> dict[int, ProcessTime]:
    processes = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            processes[int(path.parent.name)] = parse_stat(path.read_text(errors="replace"))
        except OSError:  # it has ended
            continue
    return processes
