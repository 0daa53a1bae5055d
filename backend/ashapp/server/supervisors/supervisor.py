# SPDX-License-Identifier: MIT
"""Keep as many workers serving as there should be, and replace them without a loss.

Theory of operation. One thread waits for signals, for reports and ends of workers, and for deadlines. It
never waits for one worker alone. In each round it takes all events, and then acts by the states of the
workers. All workers share the listening sockets. The kernel keeps the queues of these, so no connection
notices that workers come and go. `Replacements` knows the workers that are to be replaced.

Compared with uvicorn's supervisor: it sees a stalled loop, where uvicorn's asks a thread. It sees a dead
worker at once. And limits of workers do not interrupt their requests.
"""

import contextlib
import logging
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import wait

from uvicorn.config import STARTUP_FAILURE

from ashapp.observe.logs.log_files import reopen_log_files
from ashapp.server.errors import StartupError
from ashapp.server.health.state import MOVED_AT
from ashapp.server.management.control_pages import Control
from ashapp.server.operating_system.signals import noting
from ashapp.server.operating_system.systemd import ServiceManager
from ashapp.server.serving.announcements import Kind, Tell
from ashapp.server.supervisors.backoff import BackOff
from ashapp.server.supervisors.replacements import Replacements
from ashapp.server.supervisors.worker import State, Worker
from ashapp.server.supervisors.worker_process import Order, Report, WorkerOptions
from ashapp.server.worker_status.workers import Workers

__all__ = ["Supervisor"]

_log = logging.getLogger("ashapp.server")

_SIGNALS = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP),
    *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGUSR2),
)

# Seconds for a stalled worker to log its stacks, and for an aborted one to write them.
_LAST_WORDS = 1.0
# Seconds beyond its time-outs after which a worker that should have ended is killed.
_SLACK = 1.0


class Supervisor:
    """Runs workers with *options*, each of them made by *start*.

    SIGTERM and SIGINT end the service, SIGQUIT does so without a drain, SIGHUP replaces all workers, SIGTTIN
    adds one and SIGTTOU removes one; SIGUSR1 opens log files anew, and SIGUSR2 has no effect. *management*
    learns of each worker that has ended, *tell* gets the lines of the workers about the application.
    """

    signals: tuple[signal.Signals, ...] = _SIGNALS

    #: Seconds between checks of beats and deadlines: no report comes for these.
    tick = 0.1

    def __init__(
        self,
        options: WorkerOptions,
        management: Workers | None,
        tell: Tell,
        start: Callable[[WorkerOptions, Worker | None], Worker] = Worker,
    ) -> None:
        self.workers: list[Worker] = []
        self._options = options
        self._settings = options.settings
        self._management = management
        self._tell = tell
        self._start = start
        #: The wishes of operators; from any thread.
        self.control = Control(self._settings.workers)
        self._replacements = Replacements(self.workers, self._launch, self._retire)
        self._back_off = BackOff(allowance=2 * self._settings.workers)
        self._is_ending = False
        self._exit_code = 0
        self._systemd = ServiceManager()
        self._refusal: str | None = None

    def run(self) -> int:
        """Serve until a signal ends the service; return the exit code: 0, or 3 if no worker could start.

        Raises:
            StartupError: the application can't be served, as the first worker has found.
        """
        try:
            with noting(self.signals) as (woken, noted):
                self.act()
                while not (self._is_ending and not self.workers):
                    sentinels = [worker.process.sentinel for worker in self.workers]
                    channels = [worker.channel for worker in self.workers if not worker.channel.closed]
                    wait([woken, *sentinels, *channels], self.tick)
                    with contextlib.suppress(BlockingIOError):
                        woken.recv(4096)
                    self.act(*[noted.popleft() for _ in range(len(noted))])
        finally:
            for worker in self.workers:
                worker.channel.close()  # which ends it
        if self._refusal is not None:
            raise StartupError(self._refusal)
        return self._exit_code

    def act(self, *signals: int) -> None:
        """Do one round, after these signals."""
        for signum in signals:
            self._handle(signal.Signals(signum))
        for worker in list(self.workers):
            for report, text in worker.reports():
                self._take(worker, report, text)
            if worker.process.is_alive():
                self._check(worker)
            else:
                self._reap(worker)
        serving = [worker for worker in self.workers if worker.has_served]
        self.control.pids = [worker.pid for worker in serving]
        for worker in serving:
            worker.pass_on(self.control, None if self._management is None else self._management.faults)
        if not self._is_ending:
            self._maintain()
            self._replacements.tell_who_gives_way(self.control.target)
            if self._replacements.are_over and any(worker.has_served for worker in self._active()):
                self._systemd.ready()
        self._systemd.live()

    def _handle(self, signum: signal.Signals) -> None:
        _log.info("Received %s", signum.name)
        if signum.name in {"SIGINT", "SIGTERM"}:
            self._end()
        elif signum.name == "SIGQUIT":
            self._end(hurries=True)
        elif signum.name == "SIGUSR1":
            reopen_log_files()
            for worker in self.workers:
                worker.order(Order.REOPEN_LOGS)
        elif self._is_ending or signum.name == "SIGUSR2":
            return
        elif signum.name == "SIGHUP":
            self._systemd.reloading()
            for worker in self._active():
                self._replacements.want(worker)
            self._options.blocks.clear()  # the application is imported anew, and may be another
        elif signum.name == "SIGTTIN":
            self.control.target += 1
        elif self.control.target > 1:
            self.control.target -= 1

    def _take(self, worker: Worker, report: Report | Kind, text: str) -> None:
        if isinstance(report, Kind):
            self._tell(report, text)
        elif report is Report.REFUSED:
            worker.refusal = text
        elif report is Report.STACKS_LOGGED and worker.state is State.STALLED:
            worker.kill()
        elif report is Report.RECYCLE and worker.state is State.READY:
            if self._replacements.want(worker):
                _log.info("Worker %d is to be replaced: %s", worker.pid, text)
        elif report is Report.READY:
            self._take_ready(worker)
        elif report is Report.STACKS:
            self.control.take_stacks(worker.pid, text)
        elif report is Report.BLOCKED:
            worker.blocked_by = text, time.monotonic()
            self._count_block(text)

    def _count_block(self, endpoint: str) -> None:
        blocks = self._options.blocks
        blocks[endpoint] += 1
        if blocks[endpoint] == MOVED_AT:
            for worker in self._active():
                worker.order(Order.KEEP_OFF, endpoint)

    def _take_ready(self, worker: Worker) -> None:
        worker.has_served = True
        worker.stacks_version = self.control.version
        self._back_off.succeeded()
        if worker.state is State.STARTING:
            worker.state = State.READY

    def _check(self, worker: Worker) -> None:
        if worker.state is State.READY:
            if worker.is_stalled:
                self._give_up_stalled(worker)
        elif worker.is_overdue:
            if worker.state is State.STALLED:
                worker.abort(_LAST_WORDS)
                return
            if worker.state is not State.ABORTED:
                task = "start" if worker.state is State.STARTING else "end"
                _log.error("Worker %d takes too long to %s; it is killed", worker.pid, task)
            worker.kill()

    def _give_up_stalled(self, worker: Worker) -> None:
        worker.log_stacks(_LAST_WORDS)
        seconds = self._settings.stall_timeout
        endpoint, blocked_at = worker.blocked_by or ("", float("-inf"))
        if time.monotonic() - blocked_at <= seconds + _SLACK:
            self._count_block(endpoint)  # once more, as once has cost a worker
        _log.error(
            "The event loop of worker %d has not answered for %g s; it is killed, and another is started",
            worker.pid,
            seconds,
        )

    def _reap(self, worker: Worker) -> None:
        end = worker.reap()
        self.workers.remove(worker)
        self._replacements.forget(worker)
        if self._management is not None:
            self._management.forget(worker.pid)
        if not self._is_ending and worker.state in {State.STARTING, State.READY, State.LATE}:
            self._take_loss(worker, end)
        elif self._refusal is None:
            level = logging.DEBUG if self._settings.debug else logging.INFO
            _log.log(level, "Worker %d %s", worker.pid, end)

    def _take_loss(self, worker: Worker, end: str) -> None:
        """Handle a worker that has ended by itself: go on as long as others serve."""
        if not worker.could_not_start:
            seconds = 0 if worker.has_served else self._back_off.failed()
            _log.error("Worker %d %s; another is started%s", worker.pid, end, _in(seconds))
            return
        if not any(other.state is State.READY for other in self.workers):
            self._give_up(worker, STARTUP_FAILURE)
            return
        if worker.refusal is not None:
            _log.critical("%s", worker.refusal)
        self._replacements.give_up()
        seconds = self._back_off.failed()
        if (old := worker.predecessor) is not None:
            _log.error("Worker %d could not start; worker %d goes on", worker.pid, old.pid)
        else:
            _log.error("Worker %d could not start; another is started%s", worker.pid, _in(seconds))

    def _give_up(self, worker: Worker, exit_code: int) -> None:
        """End the service, as no worker serves. A worker may have said already why it could not start."""
        self._refusal = worker.refusal
        if self._refusal is None:
            _log.error("Worker %d could not start; the service ends", worker.pid)
        self._exit_code = exit_code
        self._end()

    def _maintain(self) -> None:
        """Start workers that are missing, and let those go that are replaced or too many."""
        self._replacements.go_on(self.control.target)
        active = [worker for worker in self._active() if worker.predecessor is None]
        if len(active) > self.control.target:
            ready = [worker for worker in active if worker.state is State.READY]
            for worker in ready[self.control.target :]:
                self._retire(worker)
        for _ in range(self.control.target - len(active)):
            self._launch(None)

    def _launch(self, replaces: Worker | None) -> bool:
        """Start a worker, unless it is too early or the system has no process; return whether it did."""
        if self._back_off.seconds:
            return False
        try:
            self.workers.append(self._start(self._options, replaces))
        except OSError as error:  # of processes, memory or descriptors there are too few
            seconds = self._back_off.failed()
            _log.error("No worker can be started: %s; next attempt%s", error, _in(seconds))
            return False
        return True

    def _active(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.is_active]

    def _retire(self, worker: Worker) -> None:
        self._order_end(worker, Order.RETIRE)

    def _end(self, *, hurries: bool = False) -> None:
        """End the service. The second time, and where *hurries* says so, it hurries."""
        self._systemd.stopping()
        for sock in self._options.sockets:  # workers close the last descriptors, when nobody waits there
            sock.close()
        hurries = hurries or self._is_ending
        for worker in self.workers:
            if worker.state not in {State.STARTING, State.READY, State.DRAINING}:
                continue
            if self._exit_code or (hurries and not worker.has_served):
                worker.kill()
            else:
                self._order_end(worker, Order.HURRY if hurries else Order.DRAIN)
        self._is_ending = True

    def _order_end(self, worker: Worker, order: Order) -> None:
        seconds = self._settings.end_seconds
        if not worker.has_served:  # nothing is in flight
            seconds = self._settings.timeout_lifespan_shutdown
        elif order is Order.DRAIN:
            seconds += self._settings.drain_delay
        worker.end(order, seconds + _SLACK)


def _in(seconds: float) -> str:
    return f" in {seconds:.0f} s" if seconds else ""
