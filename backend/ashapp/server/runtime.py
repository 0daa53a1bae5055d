# SPDX-License-Identifier: MIT
"""The folder that a supervisor and its workers share while they serve.

Each worker writes its status there, as ``<pid>.json``, and its metrics, as prometheus-client's files. The
supervisor reads both. The folder is found by an environment variable, which the workers inherit.
"""

import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric

from ashapp.observe.worker_metrics import MULTIPROCESS_VARIABLE, WorkerMetrics
from ashapp.server.errors import StartupError
from ashapp.server.reporter import Reporter
from ashapp.server.status import Status

if sys.platform != "win32":
    import fcntl

__all__ = ["Runtime", "runtime"]

_log = logging.getLogger("ashapp.server")

_VARIABLE = "ASHAPP_RUNTIME_FOLDER"
_PREFIX = "ashapp-"
_LOCK = "lock"
# Seconds after which a folder that is in use has been locked.
_NEW = 60.0

# In memory, and writable even where the root file system is not. On a disk a worker would wait now and then
# until a page that it counts in has been written.
_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it is made with a name of its own, for this user only


class Runtime:
    """The folder at *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._metrics = WorkerMetrics(path)
        #: Workers that have ended so far.
        self.ended = 0
        #: For the metrics of the service in a worker; their values are in the folder.
        self.registry = CollectorRegistry()

    @classmethod
    def inherited(cls) -> "Runtime | None":
        """Return the folder of this worker's supervisor; None if it has none."""
        path = os.environ.get(_VARIABLE)
        return cls(Path(path)) if path else None

    def attach(self, reporter: Reporter) -> None:
        """Let *reporter*, of this worker, write its status here."""
        reporter.board = self

    def write(self, status: Status) -> None:
        """Write a worker's status, for its supervisor. A folder that is gone has no reader."""
        path = self._status(status.pid)
        new = path.with_suffix(".new")
        with suppress(FileNotFoundError):
            new.write_text(status.dump(), encoding="utf-8")
            new.replace(path)

    def withdraw(self, pid: int) -> None:
        """Remove the status of a worker that serves no more."""
        self._status(pid).unlink(missing_ok=True)

    def statuses(self) -> list[Status]:
        """Return what the workers have written last, by process id."""
        texts = []
        for path in sorted(self.path.glob("*.json")):
            with suppress(FileNotFoundError):  # it has just ended
                texts.append(path.read_text(encoding="utf-8"))
        return [Status.parse(text) for text in texts]

    def forget(self, pid: int) -> None:
        """Take note, once, that a worker has ended; what it has counted stays counted."""
        self.ended += 1
        self.withdraw(pid)
        try:
            self._metrics.retire(pid)
        except Exception:  # a supervisor must not end for that
            _log.exception("What worker %d has counted is lost", pid)

    def collect(self) -> Iterable[Metric]:
        """Return what all workers have counted, those that have ended too."""
        return self._metrics.collect()

    def _status(self, pid: int) -> Path:
        return self.path / f"{pid}.json"


@contextmanager
def runtime() -> Iterator[Runtime]:
    """Make the folder, for this process and for those that it starts until the block ends.

    Raises `StartupError` if there is no place for it.
    """
    in_memory = "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK)
    try:
        parent = _MEMORY if in_memory else Path(tempfile.gettempdir())
        folder = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent)
    except OSError as error:
        raise StartupError(
            f"several workers need a folder for their metrics, but none can be made ({error.strerror}): "
            "let TMPDIR name a writable one, or switch --management-port off"
        ) from None
    path = Path(folder.name)
    with folder, _locked(path), _set({_VARIABLE: folder.name, MULTIPROCESS_VARIABLE: folder.name}):
        _remove_abandoned(parent)
        yield Runtime(path)


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock the folder, for as long as this process lives at the most; yield whether nobody else has."""
    with (folder / _LOCK).open("a") as file:
        if sys.platform == "win32":
            yield False
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of supervisors that were killed: they would fill the memory of a container.

    A process id would not tell: after a restart it is the same, and in another container too.
    """
    for folder in parent.glob(f"{_PREFIX}*"):
        # What is new may not be locked yet; what belongs to another user is none of ours.
        with suppress(OSError):
            is_new = time.time() - folder.stat().st_mtime < _NEW
            if is_new or not (folder / _LOCK).exists():
                continue
            with _locked(folder) as is_abandoned:
                if is_abandoned:
                    shutil.rmtree(folder)
