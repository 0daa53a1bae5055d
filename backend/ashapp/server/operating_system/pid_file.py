# SPDX-License-Identifier: MIT
"""The file with the id of the service's main process, for programs that send it signals."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ashapp.server.errors import StartupError

__all__ = ["pid_file"]


@contextlib.contextmanager
def pid_file(path: Path | None) -> Iterator[None]:
    """Keep the id of this process in the file at *path* until the block ends; nowhere if there is no path.

    Raises:
        StartupError: it can't be written, or has the id of a process that runs.
    """
    if path is None:
        yield
        return
    name = f"pidfile = {str(path)!r}"
    other = _read(path)
    if other is not None and other != os.getpid() and _runs(other):
        raise StartupError(f"{name} has the id of process {other}, which runs: end that, or remove the file")
    try:
        _write(path)
    except OSError as error:
        raise StartupError(f"{name} can't be written: {error.strerror}") from None
    try:
        yield
    finally:
        if _read(path) == os.getpid():
            with contextlib.suppress(OSError):
                path.unlink()


def _write(path: Path) -> None:
    """Replace the file as a whole: a reader finds the old one or the new one."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    try:
        with new.open("x", encoding="ascii") as file:  # it follows no link that somebody else has put there
            file.write(f"{os.getpid()}\n")
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _read(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        pass
    return True
