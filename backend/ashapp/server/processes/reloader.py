# SPDX-License-Identifier: MIT
"""Keep one process serving, and start another in its place when a file has changed.

Theory of operation. uvicorn's reloader finds the changes. What serves is a worker as a supervisor has it, so
it obeys and reports as those do; a thread for each takes its reports. The old one ends before the new one
begins, as whatever the application holds (a port, a lock) can be held by one process at a time.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

import uvicorn
from uvicorn.supervisors.watchfilesreload import WatchFilesReload

from ashapp.server.errors import StartupError
from ashapp.server.inspection.announcements import Announcements, Kind
from ashapp.server.processes.worker_handle import Order, Report, Worker
from ashapp.server.system.signals import numbers

__all__ = ["Reloader"]

_log = logging.getLogger("ashapp.server")

# Seconds beyond its time-outs after which a process that should have ended is killed.
_SLACK = 1.0


class Reloader:
    """Runs the process that *start* makes, anew when a file changes that *config* names.

    The process has *seconds* to end. *told* are lines to log when the first one serves; *forget* is called
    with the process id of each that has ended.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        start: Callable[[], Worker],
        seconds: float,
        told: Sequence[str] = (),
        forget: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._watcher = WatchFilesReload(config, target=lambda _: None, sockets=[])
        folders = ", ".join(map(str, config.reload_dirs))
        self._announcements = Announcements([*told, f"Reloading when a file changes in {folders}"])
        self._start = start
        self._seconds = seconds
        self._forget = forget
        self._is_ending = threading.Event()
        self._has_served = False
        self._exit_code = 0
        self._refusal: str | None = None

    def run(self) -> int:
        """Serve until a signal ends the service; return the exit code: that of the first process if it fails.

        Raises:
            StartupError: the application can't be served, as the first process has found.

        """
        # It would log each line that is written to a file in a watched folder, to that very file perhaps.
        logging.getLogger("watchfiles").setLevel(logging.WARNING)
        for signum in numbers("SIGINT", "SIGTERM", "SIGQUIT"):
            signal.signal(signum, self._watcher.signal_handler)
        self._launch()
        for changes in self._watcher:
            changed = [path for path in changes or () if not _is_log(path)]
            if changed:
                _log.info("Reloading, as files have changed: %s", ", ".join(map(_shown, changed)))
                self._end()
                self._launch()
        self._end()
        if self._refusal is not None:
            raise StartupError(self._refusal)
        return self._exit_code

    def _launch(self) -> None:
        self._is_ending.clear()
        self._worker = self._start()
        self._attendant = threading.Thread(
            target=self._attend, args=(self._worker,), name="ashapp-reloader", daemon=True
        )
        self._attendant.start()

    def _end(self) -> None:
        self._is_ending.set()
        self._worker.end(Order.DRAIN, self._seconds)
        self._attendant.join(self._seconds + _SLACK)
        if self._attendant.is_alive():
            _log.error("Worker %d takes too long to end; it is killed", self._worker.pid)
            self._worker.kill()
            self._attendant.join()

    def _attend(self, worker: Worker) -> None:
        """Take what a process reports until it has ended."""
        while worker.process.sentinel not in wait(_sources(worker)):
            self._take(worker)
        self._take(worker)
        end = worker.bury()
        self._forget(worker.pid)
        if self._is_ending.is_set():
            return
        if not self._has_served:
            self._refusal = worker.refusal
            self._exit_code = worker.exit_code or 0
            self._watcher.should_exit.set()
        elif worker.refusal is not None:
            _log.error("%s", worker.refusal)
        else:
            _log.error("Worker %d %s; another is started when a file changes", worker.pid, end)

    def _take(self, worker: Worker) -> None:
        for report, text in worker.reports():
            if isinstance(report, Kind):
                self._announcements.tell(report, text)
            elif report is Report.REFUSED:
                worker.refusal = text
            elif report is Report.READY:
                self._has_served = True


def _sources(worker: Worker) -> Iterable["Connection | int"]:
    sentinel = worker.process.sentinel
    return [sentinel] if worker.is_silent else [sentinel, worker.channel]


def _is_log(path: Path) -> bool:
    """Return whether *path* is the file that standard output or standard error is written to."""
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None and os.path.samestat(path.stat(), os.fstat(stream.fileno())):
                return True
    return False


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
