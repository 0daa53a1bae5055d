# SPDX-License-Identifier: MIT
"""A worker as its supervisor knows it: a process, a channel to it, the beats of its loop, and its pulse.

Theory of operation. Supervisor and worker talk by a pipe: the supervisor gives an `Order`, the worker sends a
`Report` and a text. A thread of the worker reads the orders, so that it can tell of its stacks while its loop
is stalled; the loop acts on the others. When the supervisor is gone, the pipe ends, and so does the worker.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from enum import Enum, auto
from multiprocessing import allow_connection_pickling, get_context

from uvicorn.config import STARTUP_FAILURE

from ashapp.server.health.stalls import StallDetector
from ashapp.server.inspection.announcements import Kind
from ashapp.server.processes.shared_counter import shared_beats
from ashapp.server.processes.worker_process import Blocking, Order, Report, WorkerServer, work

__all__ = ["Blocking", "Order", "Report", "State", "Worker"]

# As uvicorn does: a fork would share the threads' locks and the application's connections.
_spawn = get_context("spawn")
allow_connection_pickling()


class State(Enum):
    """What a worker does, as far as its supervisor knows."""

    STARTING = auto()
    SERVING = auto()
    #: It has been told to end.
    ENDING = auto()
    #: It is stalled, and will be killed.
    CONDEMNED = auto()


class Worker:
    """A worker process that serves *sockets*. *replaces* is the one that retires when this one is ready."""

    def __init__(self, server: WorkerServer, sockets: list[socket.socket], replaces: "Worker | None") -> None:
        self.replaces = replaces
        self.is_aborted = False
        self.is_killed = False
        self.has_served = False
        #: Why it can't serve the application, once it has said so.
        self.refusal: str | None = None
        #: Whether it has closed its channel: then this can always be read, and there is nothing to wait for.
        self.is_silent = False
        #: The endpoint whose view has blocked its loop last, as far as it has told, and when.
        self.blocked_by: str | None = None
        self.blocked_at = 0.0
        self.state = State.STARTING
        self.deadline = time.monotonic() + server.settings.timeout_worker_startup
        self.channel, theirs = _spawn.Pipe()
        self._beats, self._pulse = shared_beats(), shared_beats()
        seconds = server.settings.stall_timeout
        self._detector = StallDetector(seconds) if seconds else None
        arguments = (server, sockets, theirs, self._beats, self._pulse)
        self.process = _spawn.Process(target=work, args=arguments, name="ashapp-worker")
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self.process.pid or 0

    @property
    def exit_code(self) -> int | None:
        """As ``multiprocessing`` has it: None while it runs, negative for a signal."""
        return self.process.exitcode

    @property
    def can_not_start(self) -> bool:
        """Whether another one in its place would fail to start as well; to be asked of one that has ended."""
        return self.refusal is not None or self.is_killed or self.exit_code == STARTUP_FAILURE

    @property
    def task(self) -> str:
        """What it is doing."""
        return "start" if self.state is State.STARTING else "end"

    @property
    def is_stalled(self) -> bool:
        """Whether its loop has been stalled for too long. To be asked several times per time-out."""
        return self._detector is not None and self._detector.is_stalled(self._beats.value, self._pulse.value)

    @property
    def is_overdue(self) -> bool:
        """Whether it should have done what it has been told to do, by now."""
        return time.monotonic() >= self.deadline

    def reports(self) -> Iterator[tuple[Report | Kind, str]]:
        """Read what it has reported."""
        try:
            while not self.channel.closed and self.channel.poll():
                yield self.channel.recv()
        except (EOFError, OSError):  # it is gone: its process tells
            self.is_silent = True

    def order(self, order: Order | Blocking) -> None:
        """Give it an order; of no use if it is gone."""
        with contextlib.suppress(OSError):
            self.channel.send(order)

    def end(self, order: Order, seconds: float) -> None:
        """Order it to end, within so many *seconds*."""
        self.order(order)
        self.state = State.ENDING
        self.deadline = time.monotonic() + seconds

    def condemn(self, seconds: float) -> None:
        """Let it tell of its stacks, if it can, for so many *seconds*."""
        self.order(Order.TELL)
        self.state = State.CONDEMNED
        self.deadline = time.monotonic() + seconds

    def abort(self, seconds: float) -> None:
        """Let the interpreter write its stacks: that needs no lock (``faulthandler``). It ends by that."""
        self.is_aborted = True
        if self.process.is_alive():
            os.kill(self.pid, getattr(signal, "SIGABRT", signal.SIGTERM))
        self.deadline = time.monotonic() + seconds

    def kill(self) -> None:
        """End it at once."""
        self.is_killed = True
        self.process.kill()
        self.deadline = float("inf")

    def bury(self) -> str:
        """Release what belongs to a process that has ended; return how it did."""
        self.process.join()
        self.channel.close()
        code = self.process.exitcode or 0
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
