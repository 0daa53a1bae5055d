# SPDX-License-Identifier: MIT
"""The server of a worker process: it obeys its supervisor.

Theory of operation. Supervisor and worker have a pipe. An `Order` and a text go one way, a `Report` and a
text the other. A thread of the worker reads the orders, so it can log the stacks while the loop is stalled.
The loop acts on all other orders. When the supervisor is gone, the pipe ends, and so does the worker.
"""

import asyncio
import contextlib
import functools
import logging
import os
import random
import signal
import socket
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.connection import Connection
from types import FrameType

import uvicorn

from ashapp.bridge import WsgiToAsgi
from ashapp.bridge.stacks import other_stacks
from ashapp.observe.logs.lines import stderr_lines
from ashapp.observe.logs.log_files import reopen_log_files
from ashapp.observe.metrics.files import count_in_files
from ashapp.server.errors import StartupError
from ashapp.server.health.last_words import abandon_after, log_stacks
from ashapp.server.health.stalls import count_on_thread
from ashapp.server.health.state import Health
from ashapp.server.operating_system.process_title import set_title
from ashapp.server.operating_system.resources import resident_mib
from ashapp.server.operating_system.signals import handle, outlive
from ashapp.server.serving.announcements import Kind
from ashapp.server.serving.draining_server import DrainingServer
from ashapp.server.serving.process import serve
from ashapp.server.settings.model import Settings
from ashapp.server.supervisors.fork_server import ForkServer
from ashapp.server.supervisors.shared_counter import SharedCounter
from ashapp.server.worker_status.shared_folder import SharedFolder

__all__ = ["Order", "Report", "WorkerOptions", "WorkerServer", "work"]


class Order(StrEnum):
    """The orders of a supervisor."""

    #: End, with the whole service.
    DRAIN = "drain"
    #: End, as another one serves instead.
    RETIRE = "retire"
    #: End at once, whatever is in flight.
    HURRY = "hurry"
    #: Leave new connections to others, as it is to be replaced.
    GIVE_WAY = "give way"
    #: Accept connections as the others do.
    ACCEPT = "accept"
    #: Log the stacks of all threads.
    LOG_STACKS = "log stacks"
    #: Keep a view off the loop, as it has blocked the loops of workers. The text is its endpoint.
    KEEP_OFF = "keep off"
    #: Report the stacks of all threads.
    TELL_STACKS = "tell stacks"
    #: Open the files of the log anew.
    REOPEN_LOGS = "reopen logs"
    #: Have exactly the injected faults that the text lists.
    FAULTS = "faults"


class Report(StrEnum):
    """The reports of a worker."""

    READY = "ready"
    #: It should be replaced; the text says why.
    RECYCLE = "recycle"
    STACKS_LOGGED = "stacks logged"
    #: The text is the stacks of its threads.
    STACKS = "stacks"
    #: It can't serve the application; the text says why.
    REFUSED = "refused"
    #: A view blocks its loop. The text is the endpoint.
    BLOCKED = "blocked"


@dataclass(frozen=True)
class WorkerOptions:
    """The arguments of workers. *blocks* counts how often the view of an endpoint has blocked a loop.

    *turns* is the descriptor by which they take turns at jobs.
    """

    settings: Settings
    sockets: list[socket.socket]
    blocks: Counter[str]
    fork_server: ForkServer
    turns: SharedCounter = field(default_factory=SharedCounter)


class WorkerServer(DrainingServer):
    """Serves until its supervisor, at the other end of *channel*, orders it to end."""

    def __init__(
        self, config: uvicorn.Config, settings: Settings, health: Health, channel: Connection
    ) -> None:
        super().__init__(config, settings, health)
        self._channel = channel
        self._channel_lock = threading.Lock()  # several threads report
        self._terminated_by = ""
        self._max_requests = float("inf")
        if settings.limit_max_requests is not None:  # not the same for all, so that they don't end together
            # Not by what an application may have seeded: all workers would have the same.
            jitter = random.SystemRandom().randint(0, settings.limit_max_requests_jitter)
            self._max_requests = settings.limit_max_requests + jitter

    def handle_signals(self) -> None:
        """Leave Ctrl+C, which the whole group of processes gets, and SIGTERM to the supervisor.

        A worker that alone gets SIGTERM or SIGQUIT asks to be replaced, so that nothing is lost.
        """
        handle(signal.SIGINT, lambda *_: None)
        for signum in (signal.SIGTERM, signal.SIGQUIT):
            handle(signum, self._terminate)

    def report(self, report: Report | Kind, text: str = "") -> None:
        """Tell the supervisor; in vain if it is gone. From any thread."""
        with contextlib.suppress(OSError), self._channel_lock:
            self._channel.send((report, text))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, obey from then on, and report that it is ready."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop,), name="ashapp-orders", daemon=True).start()
        await super().startup(sockets)
        if self.started:
            self.report(Report.READY)

    async def on_tick(self, counter: int) -> bool:
        """Ask to be replaced, once a second where that is due."""
        if counter % 10 == 0 and not self.should_exit and (reason := self._reason_to_recycle()):
            self.report(Report.RECYCLE, reason)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down, within the time for it."""
        abandon_after(self.settings.end_seconds)
        await super().shutdown(sockets)

    def _terminate(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - of a signal handler
        self._terminated_by = signal.Signals(signum).name

    def _reason_to_recycle(self) -> str:
        requests, memory = self.server_state.total_requests, self.settings.limit_max_memory
        if self._terminated_by:
            return f"it got {self._terminated_by}"
        if requests >= self._max_requests:
            return f"it has answered {requests} requests, of at most {self._max_requests}"
        if memory is not None and (held := resident_mib()) > memory:
            return f"it holds {held:.0f} MiB of memory, of at most {memory}"
        return ""

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            with contextlib.suppress(EOFError, OSError):  # the supervisor is gone
                while True:
                    order, text = self._channel.recv()
                    if order is Order.LOG_STACKS:
                        log_stacks("The event loop does not answer")
                        self.report(Report.STACKS_LOGGED)
                    elif order is Order.TELL_STACKS:
                        self.report(Report.STACKS, other_stacks())
                    elif order is Order.KEEP_OFF:
                        self.health.keep_off(text)
                    elif order is Order.REOPEN_LOGS:
                        reopen_log_files()
                    elif order is Order.FAULTS:
                        self.health.take_faults(text)
                    elif order in {Order.GIVE_WAY, Order.ACCEPT}:
                        asyncio.run_coroutine_threadsafe(self._give_way(order), loop)
                    else:
                        loop.call_soon_threadsafe(self._end, order)
            loop.call_soon_threadsafe(self.drain)

    async def _give_way(self, order: Order) -> None:
        if not self.should_exit:
            await self.acceptor.give_way(to_others=order is Order.GIVE_WAY)

    def _end(self, order: Order) -> None:
        """Obey an order to end. A SIGTERM tells handlers of the application, as under other servers."""
        if self.settings.debug:  # what is cut, a developer has asked for
            logging.getLogger("ashapp.server").setLevel(logging.ERROR)
        {Order.DRAIN: self.drain, Order.RETIRE: self.retire, Order.HURRY: self.hurry}[order]()
        if not self._terminated_by and threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGTERM)


def work(config: uvicorn.Config, settings: Settings, descriptors: Sequence[int]) -> int:
    """Serve in a process of its own; return its exit code. The supervisor tells what stops the start."""
    beats, pulse = map(SharedCounter, descriptors[:2])
    channel = Connection(descriptors[2])
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors[4:]]
    blocks, variables = channel.recv()
    _begin(variables)
    set_title("worker", settings.app)
    if settings.stall_timeout:
        count_on_thread(pulse, settings.stall_timeout)
    health = Health(blocks=blocks, turns=descriptors[3], beats=beats)
    server = WorkerServer(config, settings, health, channel)
    health.block_listeners.append(functools.partial(server.report, Report.BLOCKED))
    server.handle_signals()
    try:
        serve(server, sockets, SharedFolder.inherited(), server.report)
    except StartupError as error:
        error.show_cause(settings.log_level)
        server.report(Report.REFUSED, error.message)
        return error.exit_code
    return 0


def _begin(variables: Mapping[str, str]) -> None:
    """Be a process with others beside it, with the environment of the supervisor."""
    os.environ.update(variables)
    outlive()
    stderr_lines.begin_anew(is_forked=False)
    count_in_files()
    WsgiToAsgi.has_siblings = True
