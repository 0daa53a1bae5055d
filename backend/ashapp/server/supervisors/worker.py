# SPDX-License-Identifier: MIT
"""A worker as its supervisor knows it: a process, its state, and the channel to it."""

import contextlib
import signal
import time
from collections.abc import Iterator
from enum import Enum, auto
from multiprocessing import Pipe
from typing import TYPE_CHECKING

from uvicorn.config import STARTUP_FAILURE

from ashapp.server.health.stalls import StallDetector
from ashapp.server.management.control_pages import Control
from ashapp.server.serving.announcements import Kind
from ashapp.server.supervisors.shared_counter import SharedCounter
from ashapp.server.supervisors.worker_process import Order, Report, WorkerOptions

if TYPE_CHECKING:
    from ashapp.server.fault_injection.board import FaultBoard

__all__ = ["State", "Worker"]


class State(Enum):
    """The state of a worker, as its supervisor knows it."""

    STARTING = auto()
    READY = auto()
    #: It has been ordered to end.
    DRAINING = auto()
    #: Its loop is stalled, and it has been ordered to log its stacks.
    STALLED = auto()
    #: It could not log its stacks, and has been aborted, so that the interpreter writes them.
    ABORTED = auto()
    KILLED = auto()
    #: It has taken too long to start, and has been killed.
    LATE = auto()


class Worker:
    """A worker process. *replaces* is the worker that retires when this one is ready."""

    def __init__(self, options: WorkerOptions, replaces: "Worker | None" = None) -> None:
        self.replaces = replaces
        self.state = State.STARTING
        self.has_served = False
        #: Whether it leaves new connections to others.
        self.gives_way = False
        #: The version of the injected faults that it has been sent.
        self.faults_version = 0
        #: The version of the latest request for its stacks.
        self.stacks_version = 0
        #: The deadline of its state.
        self.deadline = time.monotonic() + options.settings.timeout_worker_startup
        #: Why it can't serve the application, if it has said so.
        self.refusal: str | None = None
        #: The endpoint whose view was the last to block its loop, and when.
        self.blocked_by: tuple[str, float] | None = None
        self.channel, theirs = Pipe()
        self._beats, self._pulse = SharedCounter(), SharedCounter()
        seconds = options.settings.stall_timeout
        self._detector = StallDetector(seconds) if seconds else None
        with theirs:
            sockets = [sock.fileno() for sock in options.sockets]
            own = [self._beats.fd, self._pulse.fd, theirs.fileno(), options.turns.fd]
            self.process = options.fork_server.fork([*own, *sockets])
        with contextlib.suppress(OSError):  # it is gone already
            self.channel.send((options.blocks, options.fork_server.variables()))

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, negative for a signal."""
        return self.process.exitcode

    @property
    def is_active(self) -> bool:
        """Whether it serves, or will when it has started."""
        return self.exit_code is None and self.state in {State.STARTING, State.READY}

    @property
    def predecessor(self) -> "Worker | None":
        """The worker that it replaces, as long as that one serves."""
        return self.replaces if self.replaces is not None and self.replaces.is_active else None

    @property
    def could_not_start(self) -> bool:
        """Whether another worker would fail to start, too. To be asked of one that has ended."""
        is_refused = self.refusal is not None or self.exit_code == STARTUP_FAILURE
        return self.state is State.LATE or (self.state is State.STARTING and is_refused)

    @property
    def is_stalled(self) -> bool:
        """Whether its loop has been stalled for too long. To be asked several times per time-out."""
        return self._detector is not None and self._detector.is_stalled(self._beats.value, self._pulse.value)

    @property
    def is_overdue(self) -> bool:
        """Whether the deadline of its state is over."""
        return time.monotonic() >= self.deadline

    def reports(self) -> Iterator[tuple[Report | Kind, str]]:
        """Read what it has reported. If it will report no more, its channel is closed."""
        try:
            while not self.channel.closed and self.channel.poll():
                yield self.channel.recv()
        except (EOFError, OSError):
            self.channel.close()

    def order(self, order: Order, text: str = "") -> None:
        """Give it an order; of no use if it is gone."""
        with contextlib.suppress(OSError):
            self.channel.send((order, text))

    def pass_on(self, control: Control, faults: "FaultBoard | None") -> None:
        """Pass on *faults*, and a request of operators for its stacks, if either is new."""
        if faults is not None and self.faults_version != (version := faults.version):
            self.faults_version = version
            self.order(Order.FAULTS, faults.orders(self.pid))
        if self.stacks_version != control.version:
            self.stacks_version = control.version
            self.order(Order.TELL_STACKS)

    def end(self, order: Order, seconds: float) -> None:
        """Order it to end within *seconds*."""
        self.order(order)
        self._enter(State.DRAINING, seconds)

    def log_stacks(self, seconds: float) -> None:
        """Order it, as it is stalled, to log its stacks within *seconds*."""
        self.order(Order.LOG_STACKS)
        self._enter(State.STALLED, seconds)

    def abort(self, seconds: float) -> None:
        """End it by SIGABRT: ``faulthandler`` writes its stacks, which needs no lock."""
        self.process.send_signal(signal.SIGABRT)
        self._enter(State.ABORTED, seconds)

    def kill(self) -> None:
        """End it at once."""
        self.process.send_signal(signal.SIGKILL)
        self._enter(State.LATE if self.state is State.STARTING else State.KILLED, float("inf"))

    def reap(self) -> str:
        """Release the resources of its process, which has ended; return how it has ended."""
        self.process.join()
        self.channel.close()
        code = self.process.exitcode or 0
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _enter(self, state: State, seconds: float) -> None:
        self.state = state
        self.deadline = time.monotonic() + seconds
