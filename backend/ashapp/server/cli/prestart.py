# SPDX-License-Identifier: MIT
"""Runs a command once before the service starts, such as the migration of a database.

It is a process of its own, with the service's environment and working directory, and has ended before the
application is imported.
"""

import contextlib
import errno
import shlex
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from ashapp.server.errors import StartupError

__all__ = ["run"]

_SCRIPT = "prestart.sh"

# Seconds between looks for a signal that came just before a wait, and so did not interrupt it.
_GLANCE = 1.0


def run(command: str | None) -> int:
    """Run *command* and return its exit code; "auto" is the script ``prestart.sh`` here, if there is one.

    Any code but 0 has been explained, and nothing must be served. After a signal, to it or to this process,
    it is 128 and the signal's number. Raises `StartupError` where the command can't be run.
    """
    if command in {None, "off"} or (command == "auto" and not Path(_SCRIPT).is_file()):
        return 0
    arguments = [f"./{_SCRIPT}"] if command == "auto" else shlex.split(command or "")
    if not arguments:
        return 0
    program = arguments[0]
    try:
        code, told = _wait(arguments)
    except OSError as error:
        raise StartupError(f"prestart = {command!r}: {_obstacle(program, error)}") from None
    if told:
        reason = f"ended by {signal.Signals(told).name} while {program} ran, before anything was served"
        code = 128 + told
    elif code < 0:
        reason = f"prestart = {command!r}: {program} was ended by {signal.Signals(-code).name}"
        code = 128 - code
    else:
        reason = f"prestart = {command!r}: {program} failed with exit code {code}"
    if code:
        StartupError(reason).show()
    return code


def _wait(arguments: Sequence[str]) -> tuple[int, int]:
    """Return the exit code, and the number of an ending signal that came meanwhile, else 0."""
    process: subprocess.Popen[bytes] | None = None
    told = 0

    def tell(signum: int, _: FrameType | None = None) -> None:
        nonlocal told
        told = signum
        if process is not None:
            process.send_signal(signum)

    before = signal.signal(signal.SIGTERM, tell)
    try:
        with subprocess.Popen(arguments) as process:  # noqa: S603 - what it runs is the setting
            if told:  # too early to be passed on
                tell(told)
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(_GLANCE), told
    finally:
        signal.signal(signal.SIGTERM, before)


def _obstacle(program: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no program {program!r}"
    if isinstance(error, PermissionError):
        return f"{program!r} may not be executed: chmod +x {program}"
    if error.errno == errno.ENOEXEC:
        return f"{program!r} is no program: the first line of a script must be like '#!/bin/sh'"
    return f"{program!r} can't be run ({error.strerror})"
