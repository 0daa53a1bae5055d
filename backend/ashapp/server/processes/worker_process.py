# SPDX-License-Identifier: MIT
"""What a worker process runs: a server that obeys its supervisor."""

import asyncio
import contextlib
import functools
import signal
import socket
import sys
import threading
from enum import StrEnum
from multiprocessing.connection import Connection
from types import FrameType
from typing import NamedTuple

from ashapp.server.errors import StartupError
from ashapp.server.health.last_words import abandon_after, log_stacks
from ashapp.server.health.stalls import Beats, count_on_thread
from ashapp.server.inspection.announcements import Kind
from ashapp.server.management.shared_folder import SharedFolder
from ashapp.server.processes.worker_limits import Recycling
from ashapp.server.serving.draining_server import DrainingServer
from ashapp.server.serving.process import serve
from ashapp.server.system.signals import handle, numbers, outlive

__all__ = ["Blocking", "Order", "Report", "WorkerServer", "work"]


class Order(StrEnum):
    """What a supervisor tells a worker to do."""

    #: End, with the whole service.
    DRAIN = "drain"
    #: End, as another one serves instead.
    RETIRE = "retire"
    #: End at once, whatever is in flight.
    HURRY = "hurry"
    #: Log the stacks of all threads.
    TELL = "tell"


class Blocking(NamedTuple):
    """Tells a worker that the view of *endpoint* has blocked the loops of workers too often."""

    endpoint: str


class Report(StrEnum):
    """What a worker tells its supervisor."""

    READY = "ready"
    #: It should be replaced; the text says why.
    WORN = "worn"
    #: It has logged its stacks.
    TOLD = "told"
    #: It can't serve the application; the text says why.
    REFUSED = "refused"
    #: A view blocks its loop; the text is the endpoint.
    BLOCKED = "blocked"


class WorkerServer(DrainingServer):
    """Serves until its supervisor tells it to end.

    ``channel`` leads to the supervisor; it is set in the worker, before the server runs.
    """

    channel: Connection
    _terminated_by = ""
    # Several threads report. Of the class, as no lock can be sent to another process.
    _reporting = threading.Lock()

    def handle_signals(self) -> None:
        """Leave Ctrl+C, which the whole group of processes gets, to the supervisor; and SIGTERM too.

        A worker that alone gets SIGTERM or SIGQUIT asks for another in its place, so that nothing is lost.
        """
        handle(signal.SIGINT, lambda *_: None)
        for signum in numbers("SIGTERM", "SIGQUIT"):
            handle(signum, self._terminate)

    def obey(self, order: Order) -> None:
        """Do what the supervisor says. On the loop.

        A handler of SIGTERM that the application has gets to know of its end by the signal, as elsewhere.
        """
        {Order.DRAIN: self.drain, Order.RETIRE: self.retire, Order.HURRY: self.hurry}[order]()
        if not self._terminated_by and threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGTERM)

    def report(self, report: Report | Kind, text: str = "") -> None:
        """Tell the supervisor, of the application too; in vain if it is gone. From any thread."""
        with contextlib.suppress(OSError), self._reporting:
            self.channel.send((report, text))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, obey from then on, and say that it is ready."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop,), name="ashapp-orders", daemon=True).start()
        self._recycling = Recycling(self.settings)
        await super().startup(sockets)
        if self.started:
            self.report(Report.READY)

    async def on_tick(self, counter: int) -> bool:
        """Ask to be replaced, once a second where that is due."""
        if counter % 10 == 0 and not self.should_exit:
            reason = f"it got {self._terminated_by}" if self._terminated_by else ""
            reason = reason or self._recycling.reason(self.server_state.total_requests)
            if reason:
                self.report(Report.WORN, reason)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down, within the time for it."""
        abandon_after(self.settings.end_seconds)
        await super().shutdown(sockets)

    def _terminate(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - of a signal handler
        self._terminated_by = signal.Signals(signum).name

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        order: Order | Blocking | None = None
        with contextlib.suppress(RuntimeError):  # the loop is closed
            while order := self._next_order():
                if isinstance(order, Blocking):
                    if self.health.keep_off is not None:
                        self.health.keep_off(order.endpoint)
                elif order is Order.TELL:
                    log_stacks("The event loop does not answer")
                    self.report(Report.TOLD)
                else:
                    loop.call_soon_threadsafe(self.obey, order)
            loop.call_soon_threadsafe(self.drain)

    def _next_order(self) -> Order | Blocking | None:
        try:
            order: Order | Blocking = self.channel.recv()
        except (EOFError, OSError):  # the supervisor is gone
            return None
        return order


def work(
    server: WorkerServer, sockets: list[socket.socket], channel: Connection, beats: Beats, pulse: Beats
) -> None:
    """Serve *sockets* in a process of its own.

    What stops the start is told by the supervisor, in one line.
    """
    outlive()
    with contextlib.suppress(OSError):  # multiprocessing has taken it away, but a debugger needs it
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, for the life of the process
    server.config.configure_logging()
    server.channel = channel
    server.health.beats = beats
    if server.settings.stall_timeout:
        count_on_thread(pulse, server.settings.stall_timeout)
    server.health.block_listeners.append(functools.partial(server.report, Report.BLOCKED))
    server.handle_signals()
    try:
        serve(server, sockets, SharedFolder.inherited(), server.report)
    except StartupError as error:
        error.show_cause(server.settings.log_level)
        server.report(Report.REFUSED, error.message)
        sys.exit(error.exit_code)
