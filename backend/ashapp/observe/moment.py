# SPDX-License-Identifier: MIT
"""What an event loop's thread does at a moment, seen from another thread."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from ashapp.observe.observation import Observation

__all__ = ["Cpu", "FindRequest", "Moment", "is_idle", "used_cpu"]

#: Returns the request that the code in a frame, of the thread of a loop, belongs to, or None.
FindRequest = Callable[[FrameType, asyncio.AbstractEventLoop], Observation | None]


@dataclass(frozen=True)
class Cpu:
    """Seconds of processor time that a loop's thread has used, and that other threads of the process have."""

    loop: float
    others: float

    def since(self, before: Cpu) -> Cpu:
        """Return what has been used since *before*."""
        return Cpu(self.loop - before.loop, self.others - before.others)


def is_idle(cpu: float, elapsed: float) -> bool:
    """Say whether so many seconds of processor time, while so many seconds have passed, are next to none.

    On a machine that is busy otherwise, what works all the time may get a small part of it.
    """
    return cpu < elapsed / 20


def used_cpu(thread: int) -> Cpu:
    """Return what a loop's *thread*, which must not have ended, and the others have used so far."""
    process = time.process_time()
    if not hasattr(time, "pthread_getcpuclockid"):
        return Cpu(0.0, process)
    loop = time.clock_gettime(time.pthread_getcpuclockid(thread))
    return Cpu(loop, process - loop)


@dataclass(frozen=True)
class Moment:
    """*request* is the one whose code runs, *position* where in the code, *stack* the same for a reader."""

    at: float
    cpu: Cpu
    request: Observation | None
    position: tuple[int, int] | None
    stack: str

    @classmethod
    def of(
        cls, thread: int, loop: asyncio.AbstractEventLoop, now: float, cpu: Cpu, find: FindRequest | None
    ) -> Moment:
        """Look at the *thread* of a *loop*; *find* finds the request."""
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - there is no other way to see another thread
        # All line numbers first: the thread may run on while the source is read.
        frames = list(traceback.walk_stack(frame)) if frame is not None else []
        position = None if frame is None else (id(frame), frame.f_lasti)
        request = None if find is None or frame is None else find(frame, loop)
        stack = "".join(traceback.StackSummary.extract(reversed(frames)).format()).rstrip()
        return cls(now, cpu, request, position, stack)

    def shows_block(self, before: Moment) -> bool:
        """Say whether the request of *before* has blocked the loop until now.

        It has if the thread has been in one and the same call, or has worked more than all others, or if
        these have hardly worked: many threads that do may leave little time for the loop.
        """
        if self.request is None or self.request is not before.request:
            return False
        cpu = self.cpu.since(before.cpu)
        return (
            self.position == before.position
            or cpu.loop >= cpu.others
            or is_idle(cpu.others, self.at - before.at)
        )
