# SPDX-License-Identifier: MIT
"""The folder that a supervisor and its workers share while they serve.

Each worker writes its status there, as ``<pid>.json``, and its metrics, as prometheus-client's files. The
supervisor reads both. The folder is found by an environment variable, which the workers inherit.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric

from ashapp.observe.worker_metrics import MULTIPROCESS_VARIABLE, WorkerMetrics
from ashapp.server.errors import StartupError
from ashapp.server.reporter import Reporter
from ashapp.server.status import Status

__all__ = ["Runtime", "runtime"]

_VARIABLE = "ASHAPP_RUNTIME_FOLDER"

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
        self._metrics.retire(pid)

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
        folder = tempfile.TemporaryDirectory(prefix="ashapp-", dir=_MEMORY if in_memory else None)
    except OSError as error:
        raise StartupError(
            f"several workers need a folder for their metrics, but none can be made ({error.strerror}): "
            "let TMPDIR name a writable one, or switch --management-port off"
        ) from None
    variables = {_VARIABLE: folder.name, MULTIPROCESS_VARIABLE: folder.name}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        with folder:
            yield Runtime(Path(folder.name))
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
