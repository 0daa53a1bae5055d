# SPDX-License-Identifier: MIT
"""Have the C library give memory back that is freed.

glibc learns from each large block that is freed to keep the next one (mallopt(3), "M_MMAP_THRESHOLD"): up to
32 MiB each, and twice as much at the end of each of its arenas. After some large bodies a worker would hold
more memory than its container has left for others, and be killed though most of it is free.
"""

import ctypes
import os

__all__ = ["give_back_freed"]

# From <malloc.h>. To set them ends the learning.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

# Bytes of a block that is large. Smaller ones are quicker where they are kept.
_LARGE = 1 << 20

# The operator's own choice (mallopt(3), "Environment variables"; glibc's manual, "Tunables").
_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def give_back_freed() -> bool:
    """Have large blocks given back when they are freed; return whether the C library can.

    It is left alone where an environment variable has set it up.
    """
    if any(name in os.environ for name in _VARIABLES):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library than glibc, or none
        return False
    return all([mallopt(_M_MMAP_THRESHOLD, _LARGE), mallopt(_M_TRIM_THRESHOLD, _LARGE)])
