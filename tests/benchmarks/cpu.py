# SPDX-License-Identifier: MIT
"""Cores to run on, and the CPU time of a process and its descendants (Linux, proc(5))."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessTime", "cores", "family", "parse_stat", "pinned", "tree", "tree_seconds"]

_TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds


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
