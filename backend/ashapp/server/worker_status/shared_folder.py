# SPDX-License-Identifier: MIT
"""The folder that a supervisor and its workers share while they serve.

Each worker writes its status there, as ``<pid>.json``, and its metrics, as prometheus-client's files. The
supervisor reads both. An environment variable, which the workers inherit, names the folder. If the folder is
full, or can't be written to, the workers still serve, but less is known of them.
"""

import fcntl
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import Metric

from ashapp.observe.metrics.workers import MULTIPROCESS_VARIABLE, WorkerMetrics
from ashapp.server.errors import StartupError
from ashapp.server.worker_status.files import StatusFile, make_spares, read_text, set_aside
from ashapp.server.worker_status.workers import Workers, WorkerStatus

__all__ = ["SharedFolder", "make_shared_folder"]

_log = logging.getLogger("ashapp.server")

_VARIABLE = "ASHAPP_SHARED_FOLDER"
_PREFIX = "ashapp-"
_LOCK = "lock"
# Spare files for the status of workers that start when the folder is full.
_SPARES = 8
# A folder in use has been locked after this many seconds.
_NEW = 60.0

# In memory, and writable even if the root file system is not. On a disk a worker would sometimes wait until a
# page of its counts has been written.
_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it is made with a name of its own, for this user only


class SharedFolder(Workers):
    """The folder at *path*. The metrics are in *metrics*, if the operator has named a folder for them."""

    def __init__(self, path: Path, metrics: Path | None = None) -> None:
        super().__init__()
        self.path = path
        self._metrics = WorkerMetrics(metrics or path, is_shared=metrics is not None)
        self._files: dict[int, StatusFile] = {}

    @classmethod
    def inherited(cls) -> "SharedFolder | None":
        """Return the folder of this worker's supervisor; None if it has none."""
        path = os.environ.get(_VARIABLE)
        if not path:
            return None
        folder = cls(Path(path))
        with suppress(OSError):  # it is gone
            folder.began = (folder.path / _LOCK).stat().st_mtime
        return folder

    def write(self, status: WorkerStatus) -> None:
        """Write a worker's status, for its supervisor. A folder that is gone has no reader.

        Raises:
            OSError: there is no room for it.
        """
        file = self._files.setdefault(status.pid, StatusFile(self._status(status.pid)))
        with suppress(FileNotFoundError):
            file.write(status.dump())

    def withdraw(self, pid: int) -> None:
        """Remove the status of a worker that serves no more."""
        file = self._files.pop(pid, None)
        if file is not None:
            file.close()
        set_aside(self._status(pid))

    def forget(self, pid: int) -> None:
        """Count an ended worker, once; see ``Workers``."""
        super().forget(pid)
        try:
            self.withdraw(pid)
            self._metrics.retire(pid)
        except Exception:  # a supervisor must not end for that
            _log.exception("What worker %d has counted is lost", pid)

    def statuses(self) -> list[WorkerStatus]:
        """Return the last texts of the workers, by process id."""
        texts = []
        for path in sorted(self.path.glob("*.json")):
            with suppress(FileNotFoundError):  # it has just ended
                texts.append(read_text(path))
        return [WorkerStatus.parse(text) for text in texts if text is not None]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of all workers, ended ones included."""
        return self._metrics.collect()

    def _status(self, pid: int) -> Path:
        return self.path / f"{pid}.json"


@contextmanager
def make_shared_folder() -> Iterator[SharedFolder]:
    """Make the folder, for this process and its workers, until the block ends.

    Raises `StartupError` if there is no place for it, or not for the metrics where the operator wants them.
    """
    metrics = _given_folder()
    path = _make_folder()
    try:
        with _locked(path), _set({_VARIABLE: str(path), MULTIPROCESS_VARIABLE: str(metrics or path)}):
            _remove_abandoned(path.parent)
            yield SharedFolder(path, metrics)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _given_folder() -> Path | None:
    """Return the folder that the operator has named for the files of prometheus-client, or None."""
    given = os.environ.get(MULTIPROCESS_VARIABLE) or os.environ.get(MULTIPROCESS_VARIABLE.lower())
    if not given or given == os.environ.get(_VARIABLE):  # the folder of a service that has started this one
        return None
    try:
        Path(given).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=given):
            pass
    except OSError as error:
        raise StartupError(
            f"{MULTIPROCESS_VARIABLE} = {given!r} can't be used ({error.strerror}): it must name a folder "
            "that can be written to; without it the service makes one"
        ) from None
    return Path(given)


def _make_folder() -> Path:
    """Make the folder at the first place that has room, else at the first place that is writable."""
    made: list[Path] = []
    reason = ""
    for parent in (None, _MEMORY) if "TMPDIR" in os.environ else (_MEMORY, None):
        try:
            made.append(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)))
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        with suppress(OSError):  # the place is full: another one may have room
            make_spares(made[-1], _SPARES)
            break
    if not made:
        raise StartupError(
            f"several workers need a folder for their metrics, but none can be made ({reason}): "
            "let TMPDIR name a writable one, or switch --management-port off"
        )
    for full in made[:-1]:
        shutil.rmtree(full, ignore_errors=True)
    return made[-1]


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.pop(name, None) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock the folder until the block or this process ends; yield whether nobody else has locked it."""
    # No link is followed, and no FIFO is waited for.
    fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of supervisors that were killed: they would fill the memory of a container.

    A lock tells whether a supervisor lives. Its process id does not: it may be the same after a restart, or
    in another container.
    """
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            # A new folder may not be locked yet. A folder of another user is none of our business.
            is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            if is_ours and time.time() - found.st_mtime >= _NEW and (folder / _LOCK).exists():
                with _locked(folder) as is_abandoned:
                    if is_abandoned:
                        shutil.rmtree(folder)
