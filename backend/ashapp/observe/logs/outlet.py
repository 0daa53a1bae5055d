# SPDX-License-Identifier: MIT
"""Write to a descriptor that others share, without waiting for whoever reads there.

Theory of operation. A pipe whose reader has stopped takes 64 KiB; then each write waits. Asking first whether
there is room is not enough, because other processes write to the same pipe. ``O_NONBLOCK`` belongs to the
open file, which they share too. So a pipe or a terminal is opened anew, by the name that Linux gives each
descriptor (proc(5)), as an open file of our own. A socket has a flag for each write. Where none of that is
possible, as with another user's pipe, `Outlet.try_write` writes nothing.

A pipe takes a long line in parts as soon as it is full, and what others write gets in between. So whoever
writes has a lock meanwhile, which is on that open file of our own (flock(2)): the kernel keeps one for each
pipe or terminal, and takes it from a process that ends. Who does not get it at once does as with a full pipe.
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
    """Return what tells the open file at *fd* apart from another one. Raises `OSError` if *fd* is closed."""
    status = os.fstat(fd)
    return fd, status.st_dev, status.st_ino


class Outlet:
    """The open file that *fd* leads to now. Each method raises `OSError` where nothing can be written."""

    _try: Callable[[bytes], int] | None = None
    # What is to be locked, where others may get in between, and whether it is.
    _shared: int | None = None
    _is_locked = False

    def __init__(self, fd: int) -> None:
        self._owned = ExitStack()
        self.identity = identity(fd)
        # A descriptor of our own: *fd* may be closed, and become another's, while something waits.
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

        Where a line is cut off, nobody else writes until ``write`` has written the rest.
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
        """Close what has been opened for this; the descriptor that was given stays open."""
        self._owned.close()

    def __del__(self) -> None:
        # Not before: a thread may write there still.
        self.close()
