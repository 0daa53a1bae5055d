# SPDX-License-Identifier: MIT
"""The facts of the machine and the software that numbers depend on; nothing that names the machine."""

import os
import platform
import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.cpu import cores

__all__ = ["facts", "processor"]

# Beside the servers themselves: what is in every one of them or under several.
_COMMON = ("flask", "werkzeug", "uvloop", "httptools")


def facts(packages: Iterable[str]) -> dict[str, str]:
    """Return the facts by their names, with the versions of *packages*."""
    server, load = cores()
    shared = " (shared: the servers lose time to the load)" if server == load else ""
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Processor": f"{processor(Path('/proc/cpuinfo').read_text())}, {platform.machine()}",
        "Cores": f"{os.cpu_count()}; servers on core {server}, load on core {load}{shared}",
        "Load average before": f"{os.getloadavg()[0]:.2f}",
        "Versions": ", ".join(f"{name} {version(name)}" for name in sorted({*packages, *_COMMON})),
    }


def processor(cpuinfo: str) -> str:
    """Return the model in ``/proc/cpuinfo``; not every architecture tells it."""
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return model[1].strip() if model else "unknown"
