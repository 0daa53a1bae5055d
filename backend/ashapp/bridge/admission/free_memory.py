# SPDX-License-Identifier: MIT
"""How much memory is left to this process, before it would be killed for having taken too much.

A container engine sets ``--memory``, and Kubernetes ``resources.limits.memory``, as the limit of a control
group: a process that needs more is killed by the kernel. Both versions of its interface are read
(cgroups(7)). Where no group has a limit, what the machine has available counts. Memory means bytes here.

What a group holds of files is not counted, as the kernel takes that back when it is short of memory; but a
file on a tmpfs is memory (cgroup-v2, "memory.stat").
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

__all__ = ["Memory"]

_ROOT = Path("/")
# The part of a limit that is left alone: what others of the group take is not known beforehand.
_SPARE = 10
# Seconds for which what has been read is taken for what is: the kernel has to add up to answer.
_FRESH = 0.01


class _Interface(NamedTuple):
    """Where a version of the kernel's interface has its files, and how they are called."""

    mount: str
    limit: str
    usage: str
    prefix: str


_VERSION_1 = _Interface("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
_VERSION_2 = _Interface("sys/fs/cgroup", "memory.max", "memory.current", "")


class Memory:
    """The memory of this process and those that it shares its limit with; *root* is where proc and sys are.

    Nothing is known but on Linux: then there is no limit.
    """

    def __init__(self, root: Path = _ROOT, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._read_at = -math.inf
        self._left: float = math.inf
        self._group = min(_groups(root), default=None)
        if self._group is not None and self._group[0] >= _entry(root / "proc/meminfo", "MemTotal:") * 1024:
            self._group = None

    @property
    def limit(self) -> int | None:
        """The limit of the control group; None where it has none."""
        return None if self._group is None else self._group[0]

    def left(self) -> float:
        """Return how much more may be taken; infinity where that is not known."""
        now = self._clock()
        if now - self._read_at >= _FRESH:
            self._read_at = now
            self._left = self._read()
        return self._left

    def _read(self) -> float:
        if self._group is not None:
            limit, folder, interface = self._group
            usage = int(_text(folder / interface.usage) or 0)
            statistics = folder / "memory.stat"
            files = (_entry(statistics, f"{interface.prefix}{kind}_file") for kind in ("inactive", "active"))
            return max(limit - limit // _SPARE - usage + sum(files), 0)
        available = _entry(self._root / "proc/meminfo", "MemAvailable:")
        return available * 1024 if available else math.inf


def _groups(root: Path) -> Iterator[tuple[int, Path, _Interface]]:
    """Yield the groups with a limit that this process is in."""
    # Each line: a number, controllers (none in version 2), the group (cgroups(7), "/proc/[pid]/cgroup").
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from _around(root, group, _VERSION_2)
        elif "memory" in controllers.split(","):
            yield from _around(root, group, _VERSION_1)


def _around(root: Path, group: str, interface: _Interface) -> Iterator[tuple[int, Path, _Interface]]:
    """Yield *group* and those around it.

    In a container the group itself may be what is mounted, while its name is that outside: then there is none
    of that name.
    """
    inside = PurePosixPath(*(part for part in group.split("/") if part not in {"", "."}))
    for name in (inside, *inside.parents):
        if ".." in name.parts:  # it is outside of what is mounted
            continue
        folder = root / interface.mount / name
        limit = _text(folder / interface.limit)
        if limit.isdecimal():  # version 2 says "max" where there is none, version 1 more than any machine has
            yield int(limit), folder, interface


def _entry(path: Path, name: str) -> int:
    """Return the number that follows *name* in the lines of a file; 0 where there is none."""
    for line in _text(path).splitlines():
        if line.startswith(f"{name} "):
            return int(line.split()[1])
    return 0


def _text(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return os.read(descriptor, 1 << 16).decode().strip()
    except OSError:
        return ""
    finally:
        os.close(descriptor)
