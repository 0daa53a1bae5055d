# SPDX-License-Identifier: MIT
"""What a process may inherit from who has started it, and no service can work with.

Without one of the standard files (``serve >&-``) the first socket that is opened becomes it, and what a
library or a child prints goes to a client. A child whose SIGCHLD is ignored leaves no exit code.
"""

import os
import signal
import sys

__all__ = ["heed_children", "let_signals_through", "open_standard_files"]

_STANDARD_FILES = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard_files() -> None:
    """Let those of the three standard files that are closed lead to nowhere."""
    for fd, (name, mode) in enumerate(_STANDARD_FILES):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - the lowest one free is *fd*
            file = open(fd, mode, closefd=False, errors="backslashreplace")  # noqa: SIM115 - until the process ends
            setattr(sys, name, file)


def heed_children() -> None:
    """Ask the system for the exit codes of children, where these would be thrown away. On the main thread."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def let_signals_through() -> None:
    """Block no signals: the image's entry point holds some back while the interpreter starts."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
