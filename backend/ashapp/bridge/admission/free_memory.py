# SPDX-License-Identifier: MIT
"""How much memory this process may still take before the kernel kills it.

``--memory`` of a container engine, and ``resources.limits.memory`` of Kubernetes, are the limit of a control
group. The kernel kills a process that needs more. Both versions of control groups are read (cgroups(7)). If
no group has a limit, the available memory of the machine counts. All figures are bytes.

The page cache of files is not counted, as the kernel takes it back when memory is short. Files on a tmpfs do
count (cgroup-v2, "memory.stat").
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

__all__ = ["Memory"]

# This part of a limit is left free, for other processes of the group.
_SPARE = 10
# A value is used again for this many seconds: to read it takes the kernel some time.
_FRESH = 0.01

# Of the two versions of the kernel's interface: the mount, the files of limit and usage, the file statistics.
_VERSION_1 = (
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
_VERSION_2 = ("sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file", "active_file"))


class _Group(NamedTuple):
    """A control group with a limit."""

    limit: int  # at the start
    limit_now: Path
    usage: Path
    statistics: Path
    file_statistics: tuple[str, ...]

    def left(self) -> int:
        files = sum(_entry(self.statistics, name) for name in self.file_statistics)
        # Kubernetes resizes a container in place ("resizePolicy" of the API).
        now = _text(self.limit_now)
        limit = int(now) if now.isdecimal() else self.limit
        return max(limit - limit // _SPARE - int(_text(self.usage) or 0) + files, 0)


class Memory:
    """The memory for this process and those that share its limit; *root* has proc and sys.

    On other systems than Linux nothing is known, and there is no limit.
    """

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        self._meminfo = root / "proc/meminfo"
        self._clock = clock
        self._read_at = -math.inf
        self._left: float = math.inf
        total = _entry(self._meminfo, "MemTotal:") * 1024
        self._group = min((group for group in _groups(root) if group.limit < total), default=None)

    @property
    def limit(self) -> int | None:
        """The limit of the control group at the start; None where it has none."""
        return None if self._group is None else self._group.limit

    def left(self) -> float:
        """Return how much more may be taken; infinity if that is not known."""
        now = self._clock()
        if now - self._read_at >= _FRESH:
            self._read_at = now
            if self._group is not None:
                self._left = self._group.left()
            else:
                self._left = _entry(self._meminfo, "MemAvailable:") * 1024 or math.inf
        return self._left


def _groups(root: Path) -> Iterator[_Group]:
    """Yield the groups of this process that have a limit, and the groups around them."""
    # Each line: a number, controllers (none in version 2), the group (cgroups(7), "/proc/[pid]/cgroup").
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, limit_file, usage_file, statistics = _VERSION_1 if controllers else _VERSION_2
        group = PurePosixPath(*(part for part in name.split("/") if part not in {"", "."}))
        # In a container the group itself may be mounted, while its name is the name outside. Then there is no
        # folder of that name, or the name leads out of the mount.
        for around in (group, *group.parents):
            folder = root / mount / around
            limit = "" if ".." in around.parts else _text(folder / limit_file)
            if limit.isdecimal():  # version 2 says "max" where there is none, version 1 more than there is
                files = (folder / limit_file, folder / usage_file, folder / "memory.stat")
                yield _Group(int(limit), *files, statistics)


def _entry(path: Path, name: str) -> int:
    """Return the number that follows *name* in the lines of a file; 0 where there is none."""
    for line in _text(path).splitlines():
        if line.startswith(f"{name} "):
            return int(line.split()[1])
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
