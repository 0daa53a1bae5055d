# SPDX-License-Identifier: MIT
"""How many files a process may have open: each connection is one."""

import resource

__all__ = ["allow_open_files"]

_ENOUGH = 65536


def allow_open_files() -> int:
    """Raise the soft limit of open files as far as the hard one lets, to 65,536 at most; return what it is.

    Shells and containers leave it at 1,024 for the sake of old programs that use ``select``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(_ENOUGH, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
