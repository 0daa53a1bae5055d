# SPDX-License-Identifier: MIT
"""Keep one process serving, and start another in its place when a file has changed.

Theory of operation. It is a supervisor of one worker. A watcher finds changes of files, on a thread. The old
process ends before the new one begins, as only one at a time can hold a port or a lock. A developer waits for
that, so it must be quick. Requests get a moment to finish, streams and WebSockets are cut, and a thread that
can't be interrupted is killed with the process. The listening sockets stay open: a request that comes
meanwhile waits. A process that has died is replaced when a file changes. No process is ended because it is
slow: a debugger may hold it.

Python compares compiled code with the source by the size of the source and the second of its last change (PEP
552). It may miss a change within the same second. So compiled code of a changed file is removed.
"""

import contextlib
import logging
import signal
import threading
import time
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import uvicorn

from ashapp.server.serving.announcements import Kind
from ashapp.server.supervisors.supervisor import Supervisor
from ashapp.server.supervisors.watcher import FileWatcher
from ashapp.server.supervisors.worker import State, Worker
from ashapp.server.supervisors.worker_process import Order, Report

__all__ = ["Reloader"]

_log = logging.getLogger("ashapp.server")

# Seconds that requests have to be finished, and that the process has after that.
_GRACE = 0.15
_LAST = 0.3


class Reloader(Supervisor):
    """Runs one worker, and a new one when a file of *config* changes. Otherwise it is a `Supervisor`."""

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
    tick = 0.05

    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watcher = FileWatcher(config, self._note)
        # Set when a process must start: at first, and after a change.
        self._changed = threading.Event()
        self._changed.set()
        self._changed_at = 0.0
        self._changed_files: set[Path] = set()
        self._has_served = False
        # Workers that have been told to hurry, so that another can begin.
        self._hurried: set[Worker] = set()

    def run(self) -> int:
        """Serve until a signal ends the service; return 0, or the exit code of a first process that fails.

        Raises:
            StartupError: the application can't be served, as the first process has found.
        """
        # It would log each change in a watched folder, and the log itself may be written there.
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        self._watcher.start()
        try:
            return super().run()
        finally:
            self._watcher.stop()

    def _note(self, changed: list[Path]) -> None:
        _log.info("Reloading, as files have changed: %s", ", ".join(map(_shown, changed)))
        self._changed_at = time.monotonic()
        self._changed_files.update(changed)
        self._changed.set()

    def _maintain(self) -> None:
        if not self._changed.is_set():
            return
        for worker in self._active():
            worker.end(Order.DRAIN, _GRACE)
            if not worker.has_served:  # nothing is in flight
                worker.kill()
        if not self.workers:
            self._changed.clear()
            self._options.blocks.clear()
            while self._changed_files:
                _remove_compiled(self._changed_files.pop())
            self._launch(None)
            if not self.workers:  # it is tried again
                self._changed.set()

    def _take(self, worker: Worker, report: Report | Kind, text: str) -> None:
        if report is not Report.RECYCLE:
            super()._take(worker, report, text)
        if report is Report.READY and self._changed_at:
            _log.info("Reloaded in %.1f s", time.monotonic() - self._changed_at)
        self._has_served = self._has_served or worker.has_served

    def _check(self, worker: Worker) -> None:
        if worker.state is not State.DRAINING:
            return
        if self._is_ending and not self._settings.debug:
            super()._check(worker)
        elif worker.is_overdue and worker in self._hurried:
            worker.kill()
        elif worker.is_overdue:
            self._hurried.add(worker)
            worker.end(Order.HURRY, _LAST)

    def _order_end(self, worker: Worker, order: Order) -> None:
        if self._settings.debug:  # Ctrl+C: at once
            self._hurried.add(worker)
            worker.end(Order.HURRY, _LAST)
        else:
            super()._order_end(worker, order)

    def _reap(self, worker: Worker) -> None:
        self._hurried.discard(worker)
        super()._reap(worker)

    def _take_loss(self, worker: Worker, end: str) -> None:
        if not (self._has_served or self._settings.debug):
            self._give_up(worker, worker.exit_code or 0)
        elif worker.refusal is not None:
            _log.error("%s", worker.refusal)
        else:
            _log.error("Worker %d %s; another is started when a file changes", worker.pid, end)


def _remove_compiled(source: Path) -> None:
    """Remove the compiled code of *source*, if there is any."""
    with contextlib.suppress(OSError, NotImplementedError):
        Path(cache_from_source(source)).unlink()


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
