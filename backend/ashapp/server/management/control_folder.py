# SPDX-License-Identifier: MIT
"""The folder of the control sockets of a user: nobody else may enter it, and each service has a socket."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["control_folder", "live_sockets", "make_control_folder"]

# Seconds that a service has to accept: the kernel does so at once.
_PATIENCE = 2.0


def control_folder() -> Path:
    """Return the folder of this user: below XDG_RUNTIME_DIR, else in the folder for temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    with suppress(OSError):
        if runtime and Path(runtime).stat().st_uid == os.geteuid() and os.access(runtime, os.W_OK | os.X_OK):
            return Path(runtime, "ashapp")
    return Path(tempfile.gettempdir(), f"ashapp-{os.geteuid()}")


def make_control_folder() -> Path:
    """Make the folder, if it is not there, and return it.

    Raises:
        OSError: it can't be made, or is somebody else's, or others may enter it.
    """
    folder = control_folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    _check(folder)
    return folder


def _check(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} must be a folder of this user alone (mode 0700)")


def live_sockets() -> Iterator[Path]:
    """Yield the sockets at which a service answers; remove those that services have left behind.

    Raises:
        OSError: the folder is somebody else's, or others may enter it: they would answer, or choose what is
            removed.
    """
    folder = control_folder()
    with suppress(FileNotFoundError):
        _check(folder)
    for path in sorted(folder.glob("*.sock")):
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(_PATIENCE)
                sock.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            continue
        else:
            yield path
