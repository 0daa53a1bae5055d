# SPDX-License-Identifier: MIT
"""Decides which worker runs a job: the one that has locked its byte in a shared file.

Theory of operation. All workers have a descriptor of one file without a name. Each job has a byte in it. The
worker that has locked this byte (fcntl(2), "Advisory record locking") has the turn. The kernel releases the
lock when the process ends, in whatever way. Forked children don't inherit it. The byte also records that a
job is done for good.
"""

import fcntl
import os
import zlib

__all__ = ["Turns"]

# The bytes before are the count of a `SharedCounter`, whose file may be used.
_FIRST = 4096
_DONE = b"\1"


class Turns:
    """The jobs of this process, by locks on the file *fd* that workers share; None if it serves alone."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._done: set[str] = set()

    def take(self, name: str) -> bool:
        """Return whether it is this process's turn at the job *name* from now on."""
        if self._fd is not None:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(name))
            except (BlockingIOError, PermissionError):  # another has it, by POSIX either of these
                return False
        return True

    def leave(self, name: str) -> None:
        """Let another process have its turn."""
        if self._fd is not None:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _place(name))

    def is_done(self, name: str) -> bool:
        """Return whether any process has done the job for good."""
        return name in self._done or (self._fd is not None and os.pread(self._fd, 1, _place(name)) == _DONE)

    def set_done(self, name: str) -> None:
        """Record that the job has been done for good."""
        self._done.add(name)
        if self._fd is not None:
            os.pwrite(self._fd, _DONE, _place(name))


def _place(name: str) -> int:
    """Return the byte of the job, which is the same in each process."""
    return _FIRST + zlib.crc32(name.encode())
