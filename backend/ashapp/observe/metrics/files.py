# SPDX-License-Identifier: MIT
"""Count in files that other processes read, without ever being ended by them.

Theory of operation. In its multiprocess mode prometheus-client maps sparse files into memory. The first write
to a page for which the file system has no room is then a SIGBUS, which ends the process, whatever it serves.
A `MetricFile` has the layout of prometheus-client's (see ``prometheus_client.mmap_dict``) and takes its
place, but the file is made longer by writing zeros, and mapped only then: a full file system is an `OSError`.
A value that finds no room is kept, and written as soon as there is some: as what is written is the total, not
what has been added, nothing that is counted meanwhile is lost.
"""

import errno
import mmap
import os
import stat
import struct
import time
from pathlib import Path
from weakref import WeakSet

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

from ashapp.observe.metrics.allocation import write_whole

__all__ = ["MetricFile", "adopt_metric_files", "unwritten"]

# Bytes. A file is doubled when it is full.
_FIRST_SIZE = 1 << 14
# Seconds from one attempt to write what has found no room to the next.
_RETRY = 1.0

# Before the entries is how many bytes are used, these eight included. An entry is the length of its key, the
# key, filled up so that what follows begins at a multiple of eight, the value and its time.
_HEAD = 8
_USED = struct.Struct("i")
_VALUE = struct.Struct("dd")

_files: "WeakSet[MetricFile]" = WeakSet()


class MetricFile:
    """The values of one type of metric, by their keys. Never raises what the file system does.

    Not safe for threads: who calls holds prometheus-client's lock.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._map: mmap.mmap | None = None
        self._used = _HEAD
        self._positions: dict[str, int] = {}
        #: What has found no room yet.
        self.unwritten: dict[str, tuple[float, float]] = {}
        self._retry_at = float("-inf")
        _files.add(self)

    def read_value(self, key: str) -> tuple[float, float]:
        """Return a value and its time. One that is not there is 0 from now on."""
        if self._map is None and not self.unwritten:
            self._write_rest()  # a process of the same number may have counted there before
        if key not in self._positions and key not in self.unwritten:
            self.write_value(key, 0.0, 0.0)
        position = self._positions.get(key)
        if position is None or self._map is None:
            return self.unwritten[key]
        value, timestamp = _VALUE.unpack_from(self._map, position)
        return value, timestamp

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Set a value and its time."""
        position = self._positions.get(key)
        if position is not None and self._map is not None:
            self._map[position : position + _VALUE.size] = _VALUE.pack(value, timestamp)
            if not self.unwritten:
                return
        else:
            self.unwritten[key] = value, timestamp
        self._write_rest()

    def close(self) -> None:
        """Write no more."""
        if self._map is not None:
            self._map.close()
            self._map = None
        self._positions.clear()
        self.unwritten.clear()

    def _write_rest(self) -> None:
        """Write what has found no room so far, as far as there is some now."""
        now = time.monotonic()
        if now < self._retry_at:
            return
        try:
            if self._map is None:
                self._open()
            for key in list(self.unwritten):
                self._append(key, *self.unwritten[key])
                del self.unwritten[key]
        except (OSError, ValueError):  # there is no room, memory, folder or descriptor
            self._retry_at = now + _RETRY

    def _open(self) -> None:
        # The folder may be one that others write to, and the name is easy to guess.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        fd = os.open(self._path, flags, 0o600)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or (hasattr(os, "geteuid") and status.st_uid != os.geteuid()):
                Path(self._path).unlink()
                raise FileExistsError(errno.EEXIST, "it is no file of this user's", self._path)
            found = os.read(fd, status.st_size)
            # What is there is written again: it may be sparse, if it is not one of ours.
            write_whole(fd, 0, found.ljust(_FIRST_SIZE, b"\0"))
            self._map = mmap.mmap(fd, max(len(found), _FIRST_SIZE))
        except OSError:
            if not os.fstat(fd).st_size:
                Path(self._path).unlink()  # else it could not be read
            raise
        finally:
            os.close(fd)
        try:
            entries = MmapedDict.read_all_values_from_file(self._path)
            self._positions = {key: position for key, _, _, position in entries}
            self._used = max(_USED.unpack_from(self._map)[0], _HEAD)
        except (RuntimeError, ValueError, struct.error):  # it was not written to its end
            self._used = _HEAD
        _USED.pack_into(self._map, 0, self._used)

    def _append(self, key: str, value: float, timestamp: float) -> None:
        text = key.encode()
        padding = b" " * (8 - (len(text) + _USED.size) % 8)
        entry = _USED.pack(len(text)) + text + padding + _VALUE.pack(value, timestamp)
        end = self._used + len(entry)
        assert self._map is not None  # noqa: S101 - has been opened
        if end > len(self._map):
            self._grow(end)
        self._map[self._used : end] = entry
        self._positions[key] = end - _VALUE.size
        self._used = end
        _USED.pack_into(self._map, 0, end)

    def _grow(self, needed: int) -> None:
        assert self._map is not None  # noqa: S101 - see above
        before = size = len(self._map)
        while size < needed:
            size *= 2
        fd = os.open(self._path, os.O_RDWR)
        try:
            write_whole(fd, before, bytes(size - before))
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)


def adopt_metric_files() -> None:
    """Let prometheus-client count in files of this kind, if it does in files at all."""
    setattr(values, "MmapedDict", MetricFile)  # noqa: B010 - it is another class to a type checker


def unwritten() -> int:
    """Return how many values of this process have found no room. From any thread."""
    return sum(len(file.unwritten) for file in list(_files))
