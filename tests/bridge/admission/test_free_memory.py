# SPDX-License-Identifier: MIT
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from ashapp.bridge.admission.free_memory import Memory

MIB = 1 << 20
MACHINE = {"proc/meminfo": f"MemTotal: {8 << 20} kB\nMemFree: 1 kB\nMemAvailable: {2 << 20} kB\n"}
ONE = {"memory.limit_in_bytes": 100 * MIB, "memory.usage_in_bytes": 60 * MIB}
ONE_FILES = f"cache 1\ntotal_inactive_file {20 * MIB}\ntotal_active_file {10 * MIB}\n"
TWO = {"memory.max": 100 * MIB, "memory.current": 60 * MIB}
TWO_FILES = f"anon 1\ninactive_file {20 * MIB}\nactive_file {10 * MIB}\n"


def machine(root: Path, files: Mapping[str, object]) -> Path:
    """Write the files of a machine and return where they are."""
    for name, content in {**MACHINE, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def under(folder: str, files: Mapping[str, object], statistics: str = "") -> dict[str, object]:
    return {f"{folder}/{name}": content for name, content in {**files, "memory.stat": statistics}.items()}


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"proc/self/cgroup": "0::/", **under("sys/fs/cgroup", TWO, TWO_FILES)}, 100 * MIB),
        ({"proc/self/cgroup": "0::/a/b", **under("sys/fs/cgroup/a", TWO, TWO_FILES)}, 100 * MIB),
        ({"proc/self/cgroup": "0::/../x", **under("sys/fs/cgroup", TWO, TWO_FILES)}, 100 * MIB),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                **under("sys/fs/cgroup/a", {**TWO, "memory.max": 200 * MIB}),
                **under("sys/fs/cgroup/a/b", TWO, TWO_FILES),
            },
            100 * MIB,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/docker/1f\n0::/docker/1f",
                **under("sys/fs/cgroup/memory", ONE, ONE_FILES),
            },
            100 * MIB,
        ),
    ],
    ids=[
        "version 2",
        "the group around",
        "outside of what is mounted",
        "the lowest",
        "version 1, in a container",
    ],
)
def test_what_the_control_group_has_left(tmp_path: Path, files: dict[str, object], limit: int) -> None:
    """A tenth is left alone, and files that the kernel can drop count for nothing."""
    memory = Memory(machine(tmp_path, files))
    assert memory.limit == limit
    assert memory.left() == (100 - 10 - 60 + 30) * MIB


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": "max"},
        {"proc/self/cgroup": "4:memory:/", "sys/fs/cgroup/memory/memory.limit_in_bytes": 1 << 62},
    ],
    ids=["none", "version 2", "version 1"],
)
def test_without_a_limit_what_the_machine_has(tmp_path: Path, files: dict[str, object]) -> None:
    memory = Memory(machine(tmp_path, files))
    assert memory.limit is None
    assert memory.left() == 2 << 30


def test_elsewhere_nothing_is_known(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    assert memory.limit is None
    assert memory.left() == math.inf


def test_more_than_the_limit_leaves_nothing(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/", **under("sys/fs/cgroup", {**TWO, "memory.current": 99 * MIB})}
    assert Memory(machine(tmp_path, files)).left() == 0


def test_it_is_read_anew_after_a_moment(tmp_path: Path) -> None:
    root = machine(tmp_path, {"proc/self/cgroup": "0::/", **under("sys/fs/cgroup", TWO)})
    now = 0.0
    memory = Memory(root, lambda: now)
    assert memory.left() == 30 * MIB
    machine(tmp_path, {"sys/fs/cgroup/memory.current": 50 * MIB})
    assert memory.left() == 30 * MIB
    now = 1.0
    assert memory.left() == 40 * MIB


def test_a_limit_that_is_changed_in_place_counts(tmp_path: Path) -> None:
    memory = Memory(
        machine(tmp_path, {"proc/self/cgroup": "0::/", **under("sys/fs/cgroup", TWO)}),
        iter(range(9)).__next__,
    )
    for limit, left in ((200, 120), ("max", 30), (50, 0), (100, 30)):
        machine(tmp_path, {"sys/fs/cgroup/memory.max": limit if limit == "max" else int(limit) * MIB})
        assert memory.left() == left * MIB
