# SPDX-License-Identifier: MIT
"""How much memory a process has, as Linux tells (proc(5), ``/proc/<pid>/status``)."""

import re
import sys
from pathlib import Path

import pytest

__all__ = ["on_linux", "peak", "resident"]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def resident(pid: int) -> int:
    """Return how many bytes are resident now."""
    return _read(pid, "VmRSS")


def peak(pid: int) -> int:
    """Return the most bytes that were ever resident."""
    return _read(pid, "VmHWM")


def _read(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None, f"no {name} in {status}"
    return int(found[1]) * 1024
