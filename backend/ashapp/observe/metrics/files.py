# SPDX-License-Identifier: MIT
"""Files of metrics that other processes read. A full disk does not end this process.

Theory of operation. In its multiprocess mode prometheus-client maps sparse files into memory. The first write
to a page for which the file system has no room is then a SIGBUS, which ends the process. So here zeros are
written to make a file longer, and only then it is mapped: a full file system is an `OSError`. A value without
room is kept, and written as soon as there is room. It is written as a total, not as an increment, so no count
is lost meanwhile.
"""

import errno
import os
import stat
import struct
import time
from pathlib import Path
from weakref import WeakSet

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

__all__ = ["MetricFile", "adopt_metric_files", "count_in_files", "unwritten", "write_whole"]

# Bytes. A file is doubled when it is full.
_FIRST_SIZE = 1 << 14
# Seconds between attempts to write the values without room.
_RETRY = 1.0

_files: "WeakSet[MetricFile]" = WeakSet()


class MetricFile:
    """The values of one type of metric, by their keys. Never raises errors of the file system.

    Not safe for threads: the caller holds prometheus-client's lock.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: _WholeFile | None = None
        #: The values that have found no room yet.
        self.unwritten: dict[str, tuple[float, float]] = {}
        self._retry_at = float("-inf")
        _files.add(self)

    def read_value(self, key: str) -> tuple[float, float]:
        """Return a value and its time. A value that is not there becomes 0."""
        if self._file is None and not self.unwritten:
            self._write_rest()  # a process of the same number may have counted there before
        if key not in self.unwritten and (self._file is None or key not in self._file.keys):
            self.write_value(key, 0.0, 0.0)
        if key in self.unwritten or self._file is None:
            return self.unwritten[key]
        value, timestamp = self._file.read_value(key)
        return value, timestamp

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Set a value and its time."""
        if self._file is not None and key in self._file.keys:
            self._file.write_value(key, value, timestamp)
        else:
            self.unwritten[key] = value, timestamp
        if self.unwritten:
            self._write_rest()

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self.unwritten.clear()

    def _write_rest(self) -> None:
        """Write the values without room, as far as there is room now."""
        now = time.monotonic()
        if now < self._retry_at:
            return
        try:
            if self._file is None:
                self._file = _WholeFile(self._path)
            for key in list(self.unwritten):
                self._file.write_value(key, *self.unwritten[key])
                del self.unwritten[key]
        except (OSError, ValueError):  # there is no room, memory, folder or descriptor
            self._retry_at = now + _RETRY


class _WholeFile(MmapedDict):
    """A file of prometheus-client's. Each byte has its room on the disk before it is mapped."""

    def __init__(self, path: str) -> None:
        _make_whole(path)
        super().__init__(path)  # type: ignore[no-untyped-call]
        #: The keys that have a place in it.
        self.keys: dict[str, int] = self._positions

    def _init_value(self, key: str) -> None:
        length = len(key.encode())
        # The length of the key, the key, padding to a multiple of eight, the value and its time.
        needed = self._used + 4 + length + 8 - (length + 4) % 8 + 16
        size = self._capacity
        while size < needed:
            size *= 2
        if size > self._capacity:
            write_whole(self._f.fileno(), self._capacity, bytes(size - self._capacity))
        super()._init_value(key)  # type: ignore[no-untyped-call]


def _make_whole(path: str) -> None:
    """Make a new file, or rewrite the one that is there: it may be sparse, if others have made it."""
    # Other users may write to the folder, and the name is easy to guess.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(path, flags, 0o600)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            Path(path).unlink()
            raise FileExistsError(errno.EEXIST, "it is no file of this user's", path)
        try:
            entries = list(MmapedDict.read_all_values_from_file(path))
        except (RuntimeError, ValueError, struct.error):  # it is new, or was not written to its end
            entries = []
        found = os.read(fd, status.st_size) if entries else b""
        os.ftruncate(fd, len(found))
        write_whole(fd, 0, found.ljust(_FIRST_SIZE, b"\0"))
    except OSError:
        if not os.fstat(fd).st_size:
            Path(path).unlink()  # else it could not be read
        raise
    finally:
        os.close(fd)


def write_whole(fd: int, position: int, data: bytes) -> None:
    """Write all of *data* to the file *fd* at *position*. Without room, leave the file as long as it was.

    Raises:
        OSError: there is no room.
    """
    size = os.fstat(fd).st_size
    os.lseek(fd, position, os.SEEK_SET)
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError:
        os.ftruncate(fd, size)
        raise


def adopt_metric_files() -> None:
    """Let prometheus-client count in files of this kind, if it does in files at all."""
    setattr(values, "MmapedDict", MetricFile)  # noqa: B010 - it is another class to a type checker


def count_in_files() -> None:
    """Count in files from now on, if the environment has got a folder since the client's import."""
    setattr(values, "ValueClass", values.get_value_class())  # noqa: B010 - as above


def unwritten() -> int:
    """Return how many values of this process have found no room. From any thread."""
    return sum(len(file.unwritten) for file in list(_files))
