# SPDX-License-Identifier: MIT
"""Keep as many workers serving as there should be, and replace them without a loss.

Theory of operation. One thread waits for signals, reports of workers and their ends, and for the time; it
never waits for one worker alone. Each round it takes what there is, and then does what the state of the
workers asks for: to start one that is missing, or to replace one. A worker is replaced by starting another
first, and telling the old one to retire when that serves; only one at a time, so that there is memory for one
more at most. All share the listening sockets, whose queue the kernel keeps, so no connection notices who
comes and goes.

Compared with uvicorn's supervisor: a stalled loop is seen (its own asks a thread), a dead worker at once, and
limits of workers do not stop what they do.
"""

import contextlib
import logging
import signal
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from types import FrameType

from uvicorn.config import STARTUP_FAILURE

from ashapp.server.errors import StartupError
from ashapp.server.health.state import MOVED_AT
from ashapp.server.inspection.announcements import Kind, Tell
from ashapp.server.processes.backoff import BackOff
from ashapp.server.processes.worker_handle import Blocking, Order, Report, State, Worker
from ashapp.server.settings import Settings
from ashapp.server.system.signals import numbers

__all__ = ["Supervisor"]

_log = logging.getLogger("ashapp.server")

# Seconds between looks at what nobody reports: beats and deadlines.
_TICK = 0.1
# Seconds for a stalled worker to log its stacks, and for one that is aborted to write them.
_LAST_WORDS = 1.0
# Seconds that a worker has to give itself up before it is killed.
_SLACK = 1.0

_SIGNALS = numbers("SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2")


class Supervisor:
    """Runs the workers that *start* makes; each gets the one that it is to replace, or None.

    SIGTERM and SIGINT end the service, SIGQUIT does so without a drain, SIGHUP replaces all workers, SIGTTIN
    adds one and SIGTTOU removes one; SIGUSR1 and SIGUSR2 have no effect. *stop_listening* is called when the
    service ends, *forget* with the process id of each worker that has ended, *tell* with what the workers
    have to tell of the application.
    """

    def __init__(
        self,
        settings: Settings,
        start: Callable[[Worker | None], Worker],
        stop_listening: Callable[[], object],
        forget: Callable[[int], object] = lambda _: None,
        tell: Tell = lambda _, __: None,
    ) -> None:
        #: How often the view of an endpoint has blocked the loop of a worker: new workers are to know it.
        self.blocks: Counter[str] = Counter()
        self._settings = settings
        self._start = start
        self._stop_listening = stop_listening
        self._forget = forget
        self._tell = tell
        self._target = settings.workers
        self._workers: list[Worker] = []
        self._outdated: deque[Worker] = deque()
        self._signals: deque[int] = deque()
        self._back_off = BackOff(allowance=2 * settings.workers)
        self._is_ending = False
        self._exit_code = 0
        self._refusal: str | None = None

    def run(self) -> int:
        """Supervise until a signal ends the service; return the exit code: 0, or 3 if none could start.

        Raises:
            StartupError: the application can't be served, as the first worker has found.

        """
        with self._handled_signals() as woken:
            while not self._is_ending or self._workers:
                self._act()
                sentinels = [worker.process.sentinel for worker in self._workers]
                channels = [worker.channel for worker in self._workers if not worker.is_silent]
                if sentinels or not self._is_ending:
                    wait([woken, *sentinels, *channels], _TICK)
                with contextlib.suppress(BlockingIOError):
                    woken.recv(4096)
        if self._refusal is not None:
            raise StartupError(self._refusal)
        return self._exit_code

    def close(self) -> None:
        """Leave the workers alone: those that there still are end by that."""
        for worker in self._workers:
            worker.channel.close()

    @contextlib.contextmanager
    def _handled_signals(self) -> Iterator[socket.socket]:
        """Note signals, and let the socket that this yields have something to read when there is one."""
        woken, waker = socket.socketpair()
        with woken, waker:
            woken.settimeout(0)
            waker.settimeout(0)
            before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
            for signum in _SIGNALS:
                signal.signal(signum, self._note)
            try:
                yield woken
            finally:
                signal.set_wakeup_fd(before)

    def _note(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - of a signal handler
        self._signals.append(signum)

    def _act(self) -> None:
        while self._signals:
            self._handle(signal.Signals(self._signals.popleft()))
        for worker in list(self._workers):
            for report, text in worker.reports():
                self._take(worker, report, text)
            if not worker.process.is_alive():
                self._bury(worker)
            else:
                self._check(worker)
        if not self._is_ending:
            self._replace()
            self._fill()

    def _handle(self, signum: signal.Signals) -> None:
        _log.info("Received %s", signum.name)
        if signum.name in {"SIGINT", "SIGTERM"}:
            self._end()
        elif signum.name == "SIGQUIT":
            self._is_ending = True
            self._end()
        elif self._is_ending or signum.name in {"SIGUSR1", "SIGUSR2"}:
            return
        elif signum.name == "SIGHUP":
            self._outdated.extend(worker for worker in self._active() if worker not in self._outdated)
            self.blocks.clear()  # the application is imported anew, and may be another
        elif signum.name == "SIGTTIN":
            self._target += 1
        elif self._target > 1:
            self._target -= 1

    def _take(self, worker: Worker, report: Report | Kind, text: str) -> None:
        if isinstance(report, Kind):
            self._tell(report, text)
        elif report is Report.REFUSED:
            worker.refusal = text
        elif report is Report.TOLD and worker.state is State.CONDEMNED:
            worker.kill()
        elif report is Report.WORN and worker.state is State.SERVING:
            self._take_worn(worker, text)
        elif report is Report.READY:
            self._take_ready(worker)
        elif report is Report.BLOCKED:
            worker.blocked_by, worker.blocked_at = text, time.monotonic()
            self._note_block(text)

    def _note_block(self, endpoint: str) -> None:
        self.blocks[endpoint] += 1
        if self.blocks[endpoint] == MOVED_AT:
            for worker in self._active():
                worker.order(Blocking(endpoint))

    def _take_worn(self, worker: Worker, reason: str) -> None:
        is_being_replaced = any(other.replaces is worker for other in self._workers)
        if not is_being_replaced and worker not in self._outdated:
            _log.info("Worker %d is to be replaced: %s", worker.pid, reason)
            self._outdated.append(worker)

    def _take_ready(self, worker: Worker) -> None:
        worker.has_served = True
        self._back_off.succeeded()
        if worker.state is State.STARTING:
            worker.state = State.SERVING
        if worker.replaces is not None and worker.replaces in self._active():
            self._retire(worker.replaces)
        worker.replaces = None

    def _bury(self, worker: Worker) -> None:
        end = worker.bury()
        self._workers.remove(worker)
        self._forget(worker.pid)
        if self._is_ending or worker.state is State.ENDING:
            if self._refusal is None:
                _log.info("Worker %d %s", worker.pid, end)
        elif worker.state is State.STARTING and worker.can_not_start:
            self._do_without(worker)
        elif worker.state is not State.CONDEMNED:
            seconds = 0 if worker.has_served else self._back_off.failed()
            _log.error("Worker %d %s; another is started%s", worker.pid, end, _later(seconds))

    def _do_without(self, worker: Worker) -> None:
        """Go on without a worker that could not start, as long as others serve; else end the service."""
        if not self._active(State.SERVING):
            self._give_up(worker)
            return
        if worker.refusal is not None:
            _log.critical("%s", worker.refusal)
        self._outdated.clear()
        seconds = self._back_off.failed()
        if worker.replaces is not None and worker.replaces in self._active():
            _log.error("Worker %d could not start; worker %d goes on", worker.pid, worker.replaces.pid)
        else:
            _log.error("Worker %d could not start; another is started%s", worker.pid, _later(seconds))

    def _give_up(self, worker: Worker) -> None:
        """End the service, as none serves; if the worker has said why it could not start, that is enough."""
        self._refusal = worker.refusal
        if self._refusal is None:
            _log.error("Worker %d could not start; the service ends", worker.pid)
        self._exit_code = STARTUP_FAILURE
        self._end()

    def _check(self, worker: Worker) -> None:
        if worker.state is State.SERVING:
            if worker.is_stalled:
                self._condemn(worker)
        elif worker.is_overdue:
            self._overdue(worker)

    def _condemn(self, worker: Worker) -> None:
        worker.condemn(_LAST_WORDS)
        stalled_since = time.monotonic() - self._settings.stall_timeout - _SLACK
        if worker.blocked_by is not None and worker.blocked_at >= stalled_since:
            self._note_block(worker.blocked_by)  # once more, as once has cost a worker
        _log.error(
            "The event loop of worker %d has not answered for %g s; it is killed, and another is started",
            worker.pid,
            self._settings.stall_timeout,
        )

    def _overdue(self, worker: Worker) -> None:
        if worker.state is State.CONDEMNED and not worker.is_aborted:
            worker.abort(_LAST_WORDS)
            return
        if worker.state is not State.CONDEMNED:
            _log.error("Worker %d takes too long to %s; it is killed", worker.pid, worker.task)
        worker.kill()

    def _replace(self) -> None:
        """Begin to replace one of those that are to be replaced, unless one is being replaced."""
        if any(worker.replaces or worker.state is State.ENDING for worker in self._workers):
            return
        while self._outdated and not self._back_off.seconds:
            old = self._outdated[0]
            if old.state is State.STARTING and old in self._workers:
                return
            self._outdated.popleft()
            if old in self._active():
                self._launch(old)
                return

    def _fill(self) -> None:
        active = [worker for worker in self._active() if worker.replaces not in self._active()]
        if len(active) > self._target:
            serving = [worker for worker in active if worker.state is State.SERVING]
            for worker in serving[self._target :]:
                self._retire(worker)
        for _ in range(self._target - len(active)):
            if not self._back_off.seconds:
                self._launch(None)

    def _launch(self, replaces: Worker | None) -> None:
        try:
            self._workers.append(self._start(replaces))
        except OSError as error:  # of processes, memory or descriptors there are too few
            seconds = self._back_off.failed()
            _log.error("No worker can be started: %s; next attempt%s", error, _later(seconds))

    def _active(self, *states: State) -> list[Worker]:
        """Return the workers that serve or will."""
        states = states or (State.STARTING, State.SERVING)
        return [worker for worker in self._workers if worker.state in states]

    def _retire(self, worker: Worker) -> None:
        worker.end(Order.RETIRE, self._settings.end_seconds + _SLACK)

    def _end(self) -> None:
        """End the service; the second time, hurry."""
        self._stop_listening()
        order = Order.HURRY if self._is_ending else Order.DRAIN
        drain = 0 if self._is_ending else self._settings.drain_delay
        for worker in self._active() + self._active(State.ENDING):
            if self._exit_code or (self._is_ending and not worker.has_served):
                worker.kill()
            else:
                worker.end(order, self._seconds_to_end(worker, drain) + _SLACK)
        self._is_ending = True

    def _seconds_to_end(self, worker: Worker, drain: float) -> float:
        if not worker.has_served:  # what it still imports or starts has nothing in flight
            return self._settings.timeout_lifespan_shutdown
        return drain + self._settings.end_seconds


def _later(seconds: float) -> str:
    return f" in {seconds:.0f} s" if seconds else ""
