# SPDX-License-Identifier: MIT
"""Write to a descriptor that others share, without waiting for whoever reads there.

Theory of operation. A pipe whose reader has stopped takes 64 KiB; then each write waits. Asking first whether
there is room is not enough, because other processes write to the same pipe. ``O_NONBLOCK`` belongs to the
open file, which they share too. So a pipe or a terminal is opened anew, by the name that Linux gives each
descriptor (proc(5)), as an open file of our own. A socket has a flag for each write. Where none of that is
possible, as with another user's pipe, `Outlet.try_write` writes nothing.
"""

import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

__all__ = ["Outlet", "identity"]


def identity(fd: int) -> tuple[int, int, int]:
    """Return what tells the open file at *fd* apart from another one. Raises `OSError` if *fd* is closed."""
    status = os.fstat(fd)
    return fd, status.st_dev, status.st_ino


class Outlet:
    """The open file that *fd* leads to now. Each method raises `OSError` where nothing can be written."""

    _try: Callable[[bytes], int] | None = None

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
                self._try = partial(os.write, self._own(os.open(f"/proc/self/fd/{fd}", flags)))
            else:
                self._try = partial(os.write, self._fd)

    def _own(self, fd: int) -> int:
        self._owned.callback(os.close, fd)
        return fd

    def try_write(self, data: bytes) -> int:
        """Write what can be written without waiting; return how many bytes that is."""
        with suppress(BlockingIOError):
            return self._try(data) if self._try is not None else 0
        return 0

    def write(self, data: bytes) -> None:
        """Write all of *data*, however long that takes."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # another process has made it so
                select.select([], [self._fd], [])

    def close(self) -> None:
        """Close what has been opened for this; the descriptor that was given stays open."""
        self._owned.close()

    def __del__(self) -> None:
        # Not before: a thread may write there still.
        self.close()
