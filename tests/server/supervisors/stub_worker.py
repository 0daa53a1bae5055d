# SPDX-License-Identifier: MIT
"""A worker without a process, for tests of what supervises it."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from types import SimpleNamespace
from typing import Any, cast

from ashapp.server.serving.announcements import Kind
from ashapp.server.settings.loading import load
from ashapp.server.supervisors.supervisor import Supervisor
from ashapp.server.supervisors.worker import State, Worker
from ashapp.server.supervisors.worker_process import Order, Report, WorkerOptions
from ashapp.server.worker_status.workers import LocalWorker
from tests.support.waiting import PATIENCE

__all__ = ["Service", "StubWorker", "led"]


class StubWorker(Worker):
    """A test says what it reports, and when it ends."""

    def __init__(self, pid: int, replaces: Worker | None) -> None:
        self.replaces = replaces
        self.state, self.has_served, self.deadline = State.STARTING, False, float("inf")
        self.faults_version, self.gives_way = 0, False
        self.refusal = self.blocked_by = None
        self.channel, self.theirs = Pipe()
        self.number = pid
        self.code: int | None = None
        self.orders: list[tuple[Order, str]] = []
        self.has_stalled = False
        self._sentinel, self._life = os.pipe()
        self.process: Any = SimpleNamespace(
            sentinel=self._sentinel,
            is_alive=lambda: self.code is None,
            send_signal=lambda signum: self.end_with(-signum),
        )

    @property
    def pid(self) -> int:
        return self.number

    @property
    def exit_code(self) -> int | None:
        return self.code

    @property
    def is_stalled(self) -> bool:
        return self.has_stalled

    def reported(self, report: Report | Kind, text: str = "") -> None:
        self.theirs.send((report, text))

    def order(self, order: Order, text: str = "") -> None:
        self.orders.append((order, text))

    def abort(self, seconds: float) -> None:
        self._enter(State.ABORTED, seconds)

    def end_with(self, code: int) -> None:
        if self.code is None:
            self.code = code
            self.theirs.close()
            os.close(self._life)

    def reap(self) -> str:
        self.channel.close()
        os.close(self._sentinel)
        return f"ended with exit code {self.code}"


class Management(LocalWorker):
    """Notes which workers have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[int] = []

    def forget(self, pid: int) -> None:
        super().forget(pid)
        self.forgotten.append(pid)


class Service:
    """A supervisor that a test leads from round to round, and all workers that it has started."""

    def __init__(self, kind: Callable[..., Supervisor] = Supervisor, **flags: Any) -> None:
        settings = load({"workers": 2, "drain_delay": 5, "stall_timeout": 5, **flags})
        self.options = WorkerOptions(settings, [], Counter(), cast("Any", None))
        self.started: list[StubWorker] = []
        self.told: list[tuple[Kind, str]] = []
        self.failure: OSError | None = None
        self.management = Management()
        self.supervisor = kind(self.options, self.management, self.tell, self.start)

    def start(self, options: WorkerOptions, replaces: Worker | None) -> Worker:
        assert options is self.options
        if self.failure is not None:
            raise self.failure
        self.started.append(StubWorker(100 + len(self.started), replaces))
        return self.started[-1]

    def tell(self, kind: Kind, line: str) -> None:
        self.told.append((kind, line))

    def act(self, *signals: int) -> None:
        self.supervisor.act(*signals)

    def ready(self, *workers: StubWorker) -> None:
        for worker in workers:
            worker.reported(Report.READY)
        self.act()

    def begin(self) -> list[StubWorker]:
        """Start; return the first workers, which are ready."""
        self.act()
        first = list(self.started)
        self.ready(*first)
        return first

    def ended(self, worker: StubWorker, code: int) -> None:
        worker.end_with(code)
        self.act()

    @property
    def states(self) -> dict[int, str]:
        return {worker.pid: worker.state.name for worker in self.supervisor.workers}

    def close(self) -> None:
        for worker in self.started:
            worker.end_with(0)
            if worker in self.supervisor.workers:
                worker.reap()


@contextmanager
def led(lead: Callable[[], None]) -> Iterator[None]:
    """Call *lead* on a thread, while the block runs a supervisor on the main thread."""
    thread = threading.Thread(target=lead)
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE)
