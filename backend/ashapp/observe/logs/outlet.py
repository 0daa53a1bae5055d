# SPDX-License-Identifier: MIT
"""Write to a descriptor that others share, without waiting for who reads there.

Theory of operation. A pipe whose reader has stopped takes 64 KiB; then each write waits. To ask whether there
is room first does not do, as other processes write to the same pipe. And ``O_NONBLOCK`` belongs to the open
file, which they and the shell that started them share. So a pipe or a terminal is opened anew, by the name
that Linux gives each descriptor (proc(5)), for an open file of our own; a socket has a flag for each write.
Where nothing of that is possible, as with a pipe of another user's, no write is without waiting.
"""

import os
import select
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial

__all__ = ["Outlet"]


class Outlet:
    """The open file that *fd* leads to now.

    Raises:
        OSError: *fd* is not open.

    """

    def __init__(self, fd: int) -> None:
        # Descriptors of our own: *fd* may be closed and become another's while something waits to be written.
        self._owned: list[int] = []
        self._socket: socket.socket | None = None
        self._given = self._fd = fd
        self._identity = _identity(fd)
        with suppress(OSError):  # there is no descriptor left
            self._fd = self._own(os.dup(fd))
        self._attempt = self._open(os.fstat(fd).st_mode)

    def is_of(self, fd: int) -> bool:
        """Say whether *fd* still leads to this open file's pipe, terminal or file."""
        return fd == self._given and _identity(fd) == self._identity

    def try_write(self, data: bytes) -> int:
        """Write what can be written without waiting; return how many bytes that is.

        Raises:
            OSError: nothing can be written any more.

        """
        if self._attempt is None:
            return 0
        try:
            return self._attempt(data)
        except BlockingIOError:
            return 0

    def write(self, data: bytes) -> None:
        """Write all of *data*, however long that takes.

        Raises:
            OSError: nothing can be written any more.

        """
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # another process has made it so
                select.select([], [self._fd], [])

    def close(self) -> None:
        """Close what has been opened for this; the descriptor that was given stays open."""
        while self._owned:
            os.close(self._owned.pop())
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __del__(self) -> None:
        # Not before: a thread may write there still.
        self.close()

    def _own(self, fd: int) -> int:
        self._owned.append(fd)
        return fd

    def _open(self, mode: int) -> Callable[[bytes], int] | None:
        """Return what writes without waiting, if anything does."""
        with suppress(OSError, AttributeError):  # AttributeError: not on this system
            if stat.S_ISSOCK(mode):
                if socket.getdefaulttimeout() is None:  # else the constructor would set ``O_NONBLOCK``
                    self._socket = socket.socket(fileno=os.dup(self._fd))
                    return partial(_send, self._socket)
            elif stat.S_ISFIFO(mode) or os.isatty(self._fd):
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
                return partial(os.write, self._own(os.open(f"/proc/self/fd/{self._fd}", flags)))
            else:
                return partial(os.write, self._fd)
        return None


def _send(sock: socket.socket, data: bytes) -> int:
    return sock.send(data, socket.MSG_DONTWAIT)


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
