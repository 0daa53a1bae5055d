# SPDX-License-Identifier: MIT
"""A count in memory that a process shares with those that it spawns.

Theory of operation. The shared memory of `multiprocessing` is a sparse file in ``/dev/shm``. Where others
have filled that, the first write to it is a SIGBUS, which ends the process. A file without a name, of
memfd_create(2), depends on no file system; its page is there before it is mapped. Where there is none of
that kind `multiprocessing` has to do.
"""

import mmap
import os
import struct
import sys
import weakref
from multiprocessing import get_context
from multiprocessing.reduction import DupFd
from typing import Any

from ashapp.server.health.stalls import Beats

__all__ = ["SharedCounter", "shared_beats"]

_COUNT = struct.Struct("Q")


class SharedCounter:
    """Counts the beats of a loop for another process, in the file *fd*. Pickled only where one is spawned."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map = mmap.mmap(fd, _COUNT.size)
        weakref.finalize(self, os.close, fd)

    @property
    def value(self) -> int:
        """The count; one process sets it."""
        count: int = _COUNT.unpack_from(self._map)[0]
        return count

    @value.setter
    def value(self, count: int) -> None:
        _COUNT.pack_into(self._map, 0, count)

    def __reduce__(self) -> tuple[object, ...]:
        return _receive, (DupFd(self._fd),)


def shared_beats() -> Beats:
    """Return a count that can be given to a process that is spawned.

    Raises:
        OSError: there is no memory or no descriptor for it.

    """
    fd = _nameless_file()
    if fd is None:
        beats: Beats = get_context("spawn").RawValue("Q", 0)
        return beats
    os.write(fd, bytes(_COUNT.size))
    return SharedCounter(fd)


def _nameless_file() -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.memfd_create("ashapp-beats")
    except OSError:  # a sandbox forbids it
        return None


def _receive(descriptor: Any) -> SharedCounter:
    return SharedCounter(descriptor.detach())
