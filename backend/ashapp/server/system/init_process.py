# SPDX-License-Identifier: MIT
"""The duties of the first process of a container, for a server that was started as such.

Theory of operation. Process 1 of a container inherits every orphan, and must wait for it when it ends, or
else it stays as a zombie; and a signal whose default is to end a process does nothing to it. To wait for any
child at all would take from the server, and from its application, the children that they wait for themselves.
So the server runs in a child of its own, where all is as usual, and process 1 does nothing but to wait, and
to pass signals on. It is forked before there are threads, and shares nearly all of its memory.
"""

import contextlib
import os
import signal

from ashapp.server.system.signals import outlive

__all__ = ["below_init", "heed_sigterm"]


def heed_sigterm() -> None:
    """Let SIGTERM and SIGINT end this process from now on, with the exit code that a shell gives for it.

    For process 1 until it calls `below_init`: what it imports before that takes a while.
    """
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda signum, _: os._exit(128 + signum))


def below_init() -> int | None:
    """Fork. Return None in the child; in the parent, when the child has ended, its exit code.

    That of a child that was ended by a signal is 128 and the signal's number, as shells have it.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        outlive()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return None
    while True:
        info = signal.sigwaitinfo(signal.valid_signals())
        if info.si_signo == signal.SIGCHLD:
            code = _reap(child)
            if code is not None:
                return code if code >= 0 else 128 - code
        # A terminal's signals come from the kernel (sigaction(2), si_code), and to the child as well.
        elif info.si_code <= 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, info.si_signo)


def _reap(child: int) -> int | None:
    """Wait for all that have ended; return the exit code of *child* if it is among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
    return code
