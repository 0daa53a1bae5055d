# SPDX-License-Identifier: MIT
"""The interleaved run: in each round every server has its turn, so that all see the same machine.

All servers run from the beginning to the end. One that is not asked for anything uses no CPU time worth
mentioning, and what it uses is not counted for another. Stopping it (SIGSTOP) or starting it anew
for each turn would change what is measured: supervisors take a worker that stood still for a dead one,
and a new process has its caches, code and threads yet to warm up.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.benchmarks import load
from tests.benchmarks.load import Load
from tests.benchmarks.servers import in_process
from tests.benchmarks.servers.apps import Workload
from tests.benchmarks.servers.commands import IN_PROCESS
from tests.benchmarks.servers.processes import RunningServer, tree_seconds

__all__ = ["Plan", "Turn", "measure"]

_WARM_UP = 1  # seconds
_QUIET = 0.2  # seconds without CPU time
_SETTLE = 5.0  # seconds


@dataclass(frozen=True)
class Plan:
    """How a run is made."""

    workload: Workload
    connections: int
    rounds: int
    seconds: int
    baseline: str


@dataclass(frozen=True)
class Turn:
    """One server in one round: the load, and the CPU time that the server's processes used for it."""

    load: Load
    cpu_seconds: float

    @property
    def cpu_per_request(self) -> float | None:
        """CPU time for each answer, in µs; None if there was none."""
        return self.cpu_seconds / self.load.requests * 1e6 if self.load.requests else None

    @property
    def requests_per_second(self) -> float:
        """Answers, whatever their status."""
        return self.load.requests / self.load.seconds

    @property
    def busy(self) -> float:
        """CPU time by time."""
        return self.cpu_seconds / self.load.seconds


def measure(
    plan: Plan, servers: Sequence[RunningServer], tell: Callable[[str], object]
) -> dict[str, list[Turn]]:
    """Return the turns of each server, by its name; *tell* hears of the progress."""
    tell("warm-up")
    for server in servers:
        _take(replace(plan, seconds=_WARM_UP), server)
    turns: dict[str, list[Turn]] = {server.server.name: [] for server in servers}
    for number in range(1, plan.rounds + 1):
        for server in servers:
            turn = _take(plan, server)
            turns[server.server.name].append(turn)
            tell(f"round {number} of {plan.rounds}: {_line(server.server.name, turn)}")
    return turns


def _take(plan: Plan, server: RunningServer) -> Turn:
    if server.server.name == IN_PROCESS:
        return Turn(*in_process.call_for(plan.seconds, plan.workload))
    before = tree_seconds(server.pid)
    result = load.run(server.url, plan.workload, plan.connections, plan.seconds)
    turn = Turn(result, tree_seconds(server.pid) - before)
    _settle(server.pid)
    return turn


def _settle(pid: int) -> None:
    """Wait, within reason, until the server has done with what the load left behind."""
    deadline = time.monotonic() + _SETTLE
    used = tree_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(_QUIET)
        before, used = used, tree_seconds(pid)
        if used == before:
            return


def _line(name: str, turn: Turn) -> str:
    cpu = "-" if turn.cpu_per_request is None else f"{turn.cpu_per_request:.1f}"
    return f"{name} {cpu} µs, {turn.requests_per_second:.0f}/s"
