# SPDX-License-Identifier: MIT
"""Keep one process serving, and start another in its place when a file has changed.

Theory of operation. It is a supervisor of one worker. uvicorn's reloader finds the changes, on a thread. The
old process ends before the new one begins, as only one at a time can hold a port or a lock. A process that
has died is not replaced before a file changes, and none is ended because it is slow: a debugger may hold it.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors.watchfilesreload import WatchFilesReload

from ashapp.server.inspection.announcements import Kind
from ashapp.server.processes.supervisor import Supervisor
from ashapp.server.processes.worker import State, Worker
from ashapp.server.processes.worker_process import Order, Report

__all__ = ["Reloader"]

_log = logging.getLogger("ashapp.server")

# Seconds that the watcher has to begin before there is something to be changed.
_HEAD_START = 0.5


class Reloader(Supervisor):
    """Runs one worker, anew when a file changes that *config* names. The rest is as with a `Supervisor`."""

    signals = ("SIGINT", "SIGTERM", "SIGQUIT")

    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watcher = WatchFilesReload(config, target=lambda _: None, sockets=[])
        # Set when there is something new to serve, as at the start.
        self._changed = threading.Event()
        self._changed.set()
        self._has_served = False

    def run(self) -> int:
        """Serve until a signal ends the service; return the exit code: that of the first process if it fails.

        Raises:
            StartupError: the application can't be served, as the first process has found.

        """
        # It would log each line that is written to a file in a watched folder, to that very file perhaps.
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        thread = threading.Thread(target=self._watch, name="ashapp-reloader", daemon=True)
        thread.start()
        # It does not tell when it has begun, and a change before that would be missed.
        time.sleep(_HEAD_START)
        try:
            return super().run()
        finally:
            self._watcher.should_exit.set()
            thread.join()

    def _watch(self) -> None:
        for changes in self._watcher:
            if changed := [path for path in changes or () if not _is_log(path)]:
                _log.info("Reloading, as files have changed: %s", ", ".join(map(_shown, changed)))
                self._changed.set()

    def _maintain(self) -> None:
        if not self._changed.is_set():
            return
        for worker in self._active():
            self._order_end(worker, Order.DRAIN)
        if not self.workers:
            self._changed.clear()
            self._options.blocks.clear()
            self._launch(None)
            if not self.workers:  # it is tried again
                self._changed.set()

    def _take(self, worker: Worker, report: Report | Kind, text: str) -> None:
        if report is not Report.RECYCLE:
            super()._take(worker, report, text)
        self._has_served = self._has_served or worker.has_served

    def _check(self, worker: Worker) -> None:
        if worker.state is State.DRAINING:
            super()._check(worker)

    def _take_loss(self, worker: Worker, end: str) -> None:
        if not self._has_served:
            self._give_up(worker, worker.exit_code or 0)
        elif worker.refusal is not None:
            _log.error("%s", worker.refusal)
        else:
            _log.error("Worker %d %s; another is started when a file changes", worker.pid, end)


def _is_log(path: Path) -> bool:
    """Return whether *path* is the file that standard output or standard error is written to."""
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None and os.path.samestat(path.stat(), os.fstat(stream.fileno())):
                return True
    return False


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
