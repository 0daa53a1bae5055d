# SPDX-License-Identifier: MIT
"""Mends what a process may inherit from its parent and a service can't work with.

If a standard file is closed (``serve >&-``), the first socket gets its number, and a client gets what a
library or a child prints. If SIGCHLD is ignored, children leave no exit code.
"""

import os
import signal
import sys

__all__ = ["heed_children", "let_signals_through", "open_standard_files"]

_STANDARD_FILES = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard_files() -> None:
    """Open the null device for each of the three standard files that is closed."""
    for fd, (name, mode) in enumerate(_STANDARD_FILES):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - the lowest one free is *fd*
            file = open(fd, mode, closefd=False, errors="backslashreplace")  # noqa: SIM115 - until the process ends
            setattr(sys, name, file)


def heed_children() -> None:
    """Have the system keep the exit codes of children, even if SIGCHLD was ignored. On the main thread."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def let_signals_through() -> None:
    """Unblock all signals: the image's entry point blocks some while the interpreter starts."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
