# SPDX-License-Identifier: MIT
"""Log where a process is stuck, and end it if it can't end by itself."""

import logging
import os
import threading
from typing import NoReturn

from ashapp.bridge.stacks import other_stacks
from ashapp.observe.logs.lines import stderr_lines

__all__ = ["STUCK", "abandon", "abandon_after", "log_stacks"]

#: The exit code of a process that gives up: its event loop was stalled, or it did not end in time.
STUCK = 4

_log = logging.getLogger("ashapp.server")

# Seconds. A thread that is stuck may hold the very locks that writing to the log needs.
_PATIENCE = 2.0


def log_stacks(reason: str) -> None:
    """Log *reason* and the stack of each thread, or give up after two seconds. For any thread."""
    text = f"{reason}. What its threads run:\n{other_stacks()}"

    def write() -> None:
        _log.critical("%s", text)
        stderr_lines.finish()

    writer = threading.Thread(target=write, daemon=True)
    try:
        writer.start()
    except RuntimeError:  # the system gives no more threads
        write()
    else:
        writer.join(_PATIENCE)


def abandon(reason: str) -> NoReturn:
    """Log *reason* and the stacks, and end the process at once, with the exit code `STUCK`."""
    log_stacks(reason)
    os._exit(STUCK)


def abandon_after(seconds: float) -> threading.Timer:
    """Abandon the process if it still runs *seconds* from now, unless the system gives no more threads."""
    timer = threading.Timer(seconds, abandon, ["The process has not ended in the time that it has"])
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError as error:
        _log.warning("Nothing ends this process if it does not end by itself: %s", error)
    return timer
