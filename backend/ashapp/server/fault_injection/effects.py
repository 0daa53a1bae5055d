# SPDX-License-Identifier: MIT
"""The effects of faults that are not about requests. Each fault has a thread until it is over."""

import asyncio
import hashlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ashapp.observe.logs.lines import stderr_lines
from ashapp.server.fault_injection.fault import Block, Cpu, Crash, Fault, Memory

__all__ = ["ActiveFault", "run"]

_log = logging.getLogger("ashapp.server")

_MIB = 1 << 20
# Seconds for the answer to the client that has asked for a crash, if this process serves the management port.
_LAST_WORDS = 0.2
# The exit code of a shell for SIGKILL.
_KILLED = 137


@dataclass(frozen=True)
class ActiveFault:
    """A fault in this worker, until it is over: at *until*, of ``time.monotonic``, or when it is lifted."""

    id: str
    until: float
    fault: Fault
    _lifted: threading.Event = field(default_factory=threading.Event)

    def lift(self) -> None:
        """End it."""
        self._lifted.set()

    def wait(self) -> None:
        """Wait until it is over."""
        self._lifted.wait(self.seconds_left)

    @property
    def seconds_left(self) -> float:
        """Seconds until it is over; 0 if it is."""
        return 0.0 if self._lifted.is_set() else max(0.0, self.until - time.monotonic())


def run(planted: ActiveFault, loop: asyncio.AbstractEventLoop) -> None:
    """Have the effect of the fault in a process with this event *loop*, and return when it is over."""
    match planted.fault:
        case Crash():
            _crash()
        case Cpu(threads=count):
            _on_threads(count, lambda: _burn(planted))
        case Memory(mib=mib):
            _hold(planted, mib)
        case Block():
            loop.call_soon_threadsafe(planted.wait)
    planted.wait()


def _crash() -> None:
    time.sleep(_LAST_WORDS)
    stderr_lines.finish()
    os.kill(os.getpid(), signal.SIGKILL)
    os._exit(_KILLED)  # the kernel spares process 1 of a container


def _on_threads(count: int, function: Callable[[], None]) -> None:
    for _ in range(count):
        threading.Thread(target=function, name="ashapp-fault-cpu", daemon=True).start()


def _burn(planted: ActiveFault) -> None:
    """Use a processor, without the interpreter's lock: hashlib gives it back for more than 2 KiB."""
    data = bytes(_MIB)
    while planted.seconds_left:
        hashlib.sha256(data)


def _hold(planted: ActiveFault, mib: int) -> None:
    held = []
    try:
        for _ in range(mib):
            if not planted.seconds_left:
                break
            held.append(b"x" * _MIB)  # for zeros the kernel would not set memory aside
    except MemoryError:
        _log.warning("Fault %s: there is no memory for more than %d MiB", planted.id, len(held))
    planted.wait()
