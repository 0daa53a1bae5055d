# SPDX-License-Identifier: MIT
"""A count in memory that two processes share."""

import contextlib
import mmap
import os
import struct
import tempfile
import weakref

__all__ = ["SharedCounter"]

_COUNT = struct.Struct("Q")


class SharedCounter:
    """Counts the beats of a loop for another process, which maps the same descriptor, *fd*.

    The memory of `multiprocessing` is a sparse file in ``/dev/shm``: if that is full, the first write to it
    is a SIGBUS. A file of memfd_create(2) is in no file system. If the system has no such files, a temporary
    file is filled before it is mapped.

    Raises:
        OSError: there is no memory or no descriptor for it.
    """

    def __init__(self, fd: int | None = None) -> None:
        self.fd = _zeros() if fd is None else fd
        self._map = mmap.mmap(self.fd, _COUNT.size)
        weakref.finalize(self, os.close, self.fd)

    @property
    def value(self) -> int:
        """The count; one process sets it."""
        count: int = _COUNT.unpack_from(self._map)[0]
        return count

    @value.setter
    def value(self, count: int) -> None:
        _COUNT.pack_into(self._map, 0, count)


def _zeros() -> int:
    """Return the descriptor of a file without a name that holds the count 0."""
    fd = None
    with contextlib.suppress(AttributeError, OSError):  # the system has none, or a sandbox forbids it
        fd = os.memfd_create("ashapp-beats")
    if fd is None:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.write(fd, bytes(_COUNT.size))
    return fd
