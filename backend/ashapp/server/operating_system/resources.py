# SPDX-License-Identifier: MIT
"""Resources of a process: the limit of open files, and memory."""

import ctypes
import os
import resource
from pathlib import Path

__all__ = ["allow_open_files", "give_back_freed", "resident_mib"]

_ENOUGH_FILES = 65536

# From <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

# Bytes of a large block. Smaller blocks are kept, which is quicker.
_LARGE = 1 << 20

# The operator's own choice (mallopt(3), "Environment variables"; glibc's manual, "Tunables").
_MALLOC_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")

_STATM = Path("/proc/self/statm")


def allow_open_files() -> int:
    """Raise the soft limit of open files to the hard one, to 65,536 at most; return it.

    Each connection is an open file. Shells and containers leave the limit at 1,024 for programs that use
    ``select``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(_ENOUGH_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def give_back_freed() -> bool:
    """Have the C library return large freed blocks to the system; return whether it can.

    When a large block is freed, glibc raises the size from which it returns blocks (mallopt(3),
    "M_MMAP_THRESHOLD"). So after some large bodies a container would run out of memory. A threshold that is
    set stays as it is. One that an environment variable has set is left alone.
    """
    if any(name in os.environ for name in _MALLOC_VARIABLES):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library than glibc, or none
        return False
    return all([mallopt(_M_MMAP_THRESHOLD, _LARGE), mallopt(_M_TRIM_THRESHOLD, _LARGE)])


def resident_mib() -> float:
    """Return the resident memory of this process in MiB (proc(5), ``statm``)."""
    pages = int(_STATM.read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20
