# SPDX-License-Identifier: MIT
"""The duties of process 1 of a container, for a server that was started as such.

Theory of operation. Process 1 of a container inherits every orphan, and must wait for it, or the orphan stays
as a zombie. No signal ends process 1 by default. If a server waited for any child, it would take exit codes
away from code that waits for its own children. So the server runs in a child, as on any machine, and process
1 only reaps orphans and passes signals on. It forks before there are threads, and shares nearly all of its
memory.
"""

import contextlib
import os
import signal

from ashapp.server.operating_system.signals import outlive

__all__ = ["below_init", "heed_sigterm"]


def heed_sigterm() -> None:
    """Let SIGTERM and SIGINT end process 1, with a shell's exit code, until it calls `below_init`."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda signum, _: os._exit(128 + signum))


def below_init() -> int | None:
    """Fork. Return None in the child; in the parent, when the child has ended, its exit code.

    If a signal has ended the child, that is 128 and the signal's number, as in a shell.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child == 0:
        # Until the server handles both. A KeyboardInterrupt is lost in a callback, as imports have them.
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, signal.SIG_DFL)
        outlive()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return None
    while True:
        info = signal.sigwaitinfo(signal.valid_signals())
        if info.si_signo == signal.SIGCHLD:
            code = _reap(child)
            if code is not None:
                return code if code >= 0 else 128 - code
        # Signals of a terminal come from the kernel (sigaction(2), si_code): the child gets them, too.
        elif info.si_code <= 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, info.si_signo)


def _reap(child: int) -> int | None:
    """Reap all children that have ended; return the exit code of *child* if it is among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
    return code
