# SPDX-License-Identifier: MIT
"""The name of a UNIX domain socket in the file system, which may by now be that of another service."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

__all__ = ["SocketName"]


@dataclass(frozen=True)
class SocketName:
    """A file at *path*, as it was when it was looked at.

    The next file may get its number as soon as this one is gone, so the time of its making counts too.
    """

    path: Path
    device: int
    number: int
    made_at: int

    @classmethod
    def of(cls, path: Path | str) -> Self | None:
        """Return what has the name *path* now; None if nothing has."""
        found = Path(path).absolute()
        try:
            status = found.lstat()
        except FileNotFoundError:
            return None
        return cls(found, status.st_dev, status.st_ino, status.st_mtime_ns)

    def remove(self) -> None:
        """Remove the name, unless something else has it by now, or nothing."""
        if SocketName.of(self.path) == self:
            self.path.unlink(missing_ok=True)
