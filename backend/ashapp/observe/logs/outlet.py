# SPDX-License-Identifier: MIT
"""Write to a shared descriptor without waiting for its reader.

Theory of operation. A pipe whose reader has stopped takes 64 KiB; then each write waits. To ask first whether
there is room is not enough, because other processes write to the same pipe. ``O_NONBLOCK`` would not do: it
belongs to the open file, which these processes share. So a pipe or a terminal is opened a second time, as an
open file of our own, by the name that Linux gives each descriptor (proc(5)). For a socket each write has a
flag. If none of that is possible, as with another user's pipe, `Outlet.try_write` writes nothing.

A nearly full pipe takes a long line in parts, and lines of other processes get in between. So each writer
locks the open file meanwhile (flock(2)). The kernel has one lock for each pipe or terminal, and releases it
when a process ends. A writer that does not get the lock at once acts as with a full pipe.
"""

import fcntl
import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

__all__ = ["Outlet", "identity"]


_NEWLINE = ord("\n")


def identity(fd: int) -> tuple[int, int, int]:
    """Return a value that identifies the open file at *fd*. Raises `OSError` if *fd* is closed."""
    status = os.fstat(fd)
    return fd, status.st_dev, status.st_ino


class Outlet:
    """The open file of *fd* at this moment. Each method raises `OSError` if nothing can be written."""

    _try: Callable[[bytes], int] | None = None
    # The descriptor to lock, if other processes may write there, and whether it is locked.
    _shared: int | None = None
    _is_locked = False

    def __init__(self, fd: int) -> None:
        self._owned = ExitStack()
        self.identity = identity(fd)
        # A descriptor of our own: during a wait, *fd* may be closed and its number given to another file.
        self._fd = self._own(os.dup(fd))
        mode = os.fstat(fd).st_mode
        with suppress(OSError):
            if stat.S_ISSOCK(mode):
                connection = self._owned.enter_context(socket.socket(fileno=os.dup(fd)))
                self._try = lambda data: connection.send(data, socket.MSG_DONTWAIT)
            elif stat.S_ISFIFO(mode) or os.isatty(fd):
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
                self._shared = self._own(os.open(f"/proc/self/fd/{fd}", flags))
                self._try = partial(os.write, self._shared)
            else:
                self._try = partial(os.write, self._fd)

    def _own(self, fd: int) -> int:
        self._owned.callback(os.close, fd)
        return fd

    def try_write(self, data: bytes) -> int:
        """Write what can be written without waiting; return how many bytes that is.

        If a line is cut off, no other process writes until ``write`` has written the rest.
        """
        written = 0
        try:
            if self._try is not None:
                self._lock(wait=False)
                written = self._try(data)
        except BlockingIOError:
            pass
        finally:
            if not written or data[written - 1] == _NEWLINE:
                self._unlock()
        return written

    def write(self, data: bytes) -> None:
        """Write all of *data*, however long that takes."""
        rest = memoryview(data)
        self._lock(wait=True)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:  # another process has made it so
                    select.select([], [self._fd], [])
        finally:
            self._unlock()

    def _lock(self, *, wait: bool) -> None:
        if self._shared is not None and not self._is_locked:
            try:
                fcntl.flock(self._shared, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise
            except OSError:  # there is none here; lines in parts are better than no lines
                return
            self._is_locked = True

    def _unlock(self) -> None:
        if self._shared is not None and self._is_locked:
            self._is_locked = False
            fcntl.flock(self._shared, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the descriptors that were opened here. The given one stays open."""
        self._owned.close()

    def __del__(self) -> None:
        # Not before: a thread may write there still.
        self.close()
