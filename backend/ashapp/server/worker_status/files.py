# SPDX-License-Identifier: MIT
"""A small text in a file that another process reads, and that can be written even when the disk is full.

Theory of operation. A text overwrites the last one in place, through a descriptor that stays open. So a write
needs no further room on the disk and no descriptor. A new file takes over a spare file, if there is one,
which has been filled before. A reader may meet a text that is just being written: its checksum tells.
"""

import os
import zlib
from contextlib import suppress
from pathlib import Path

from ashapp.observe.metrics.files import write_whole

__all__ = ["StatusFile", "make_spares", "read_text", "set_aside"]

# Bytes. File systems give room in blocks: the length of a file is a multiple of this.
_BLOCK = 4096
_CHECKSUM = 8
_SPARE = "spare-"
# How often a text is read that is just being written.
_ATTEMPTS = 5


class StatusFile:
    """The text at *path*, which this process writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def write(self, text: str) -> None:
        """Write *text* in place of the last one.

        Raises:
            OSError: the file must be made or get longer, and there is no room or no folder for it.
        """
        if self._fd is not None and not os.fstat(self._fd).st_nlink:  # a clean-up has removed it
            self.close()
        if self._fd is None:
            self._fd = _open(self._path)
        data, size = text.encode(), os.fstat(self._fd).st_size
        needed = -(-(len(data) + _CHECKSUM) // _BLOCK) * _BLOCK
        if needed > size:
            write_whole(self._fd, size, bytes(needed - size))
        data = data.ljust(max(needed, size) - _CHECKSUM)
        write_whole(self._fd, 0, b"%08x" % zlib.crc32(data) + data)

    def close(self) -> None:
        """Write no more."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def read_text(path: Path) -> str | None:
    """Return the text at *path*; None if it was never written to its end."""
    for _ in range(_ATTEMPTS):
        found = path.read_bytes()
        data = found[_CHECKSUM:]
        if found[:_CHECKSUM] == b"%08x" % zlib.crc32(data):
            return data.decode().rstrip()
    return None


def make_spares(folder: Path, count: int) -> None:
    """Make *count* spare files in *folder*, so that later texts need no more room.

    Raises:
        OSError: there is no room for them.
    """
    for number in range(count):
        (folder / f"{_SPARE}{number}").write_bytes(bytes(_BLOCK))


def set_aside(path: Path) -> None:
    """Turn the file at *path*, if there is one, into a spare file."""
    with suppress(FileNotFoundError):
        path.replace(path.with_name(f"{_SPARE}{path.stem}"))


def _open(path: Path) -> int:
    for spare in path.parent.glob(f"{_SPARE}*"):
        with suppress(FileNotFoundError):  # another process has taken it
            spare.rename(path)
            break
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
