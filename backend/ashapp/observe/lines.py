# SPDX-License-Identifier: MIT
"""Where the log of a process goes: whole lines to standard error, in the order in which they were made.

Theory of operation. A write costs a system call, which is more than making an access log line costs. So the
lines of the access log wait until the loop has done its round, and go out in one write; where the last write
was only just before, they wait for some milliseconds more, and for others. With few requests that is at once.
A line of another logger takes those that wait along, so the order is kept, and the interpreter's exit writes
what is left.
"""

import asyncio
import atexit
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

__all__ = ["LineHandler", "Lines", "stderr_lines"]


# Seconds from one write to the next that nobody asks for: 200 in a second cost next to nothing.
_PERIOD = 0.005


class Lines:
    """The lines that go to a *stream*; standard error, as it is when they are written, if that is None.

    Where the stream can't be written to any more lines are lost: there is nobody left to be told.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._waiting: deque[str | Callable[[], str]] = deque()
        self._lock = threading.Lock()
        self._flushed_by: asyncio.AbstractEventLoop | None = None
        self._flushed_at = float("-inf")
        atexit.register(self.flush)

    def write(self, line: str) -> None:
        """Write *line*, which ends in a newline, after all that wait."""
        self._waiting.append(line)
        self.flush()

    def write_soon(self, line: Callable[[], str]) -> None:
        """Write what *line* returns when the running loop has done what it has to do now, or a bit later."""
        self._waiting.append(line)
        loop = asyncio.get_running_loop()
        if self._flushed_by is not loop:
            self._flushed_by = loop
            if time.monotonic() - self._flushed_at < _PERIOD:
                loop.call_later(_PERIOD, self.flush)
            else:
                loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write all lines that wait. From any thread."""
        self._flushed_by = None
        self._flushed_at = time.monotonic()
        with self._lock, suppress(OSError, ValueError):
            waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
            text = "".join([line if isinstance(line, str) else line() for line in waiting])
            if text:
                stream = self._stream or sys.stderr
                stream.write(text)
                stream.flush()


#: The lines of this process.
stderr_lines = Lines()


class LineHandler(logging.Handler):
    """A handler of `logging` that writes to `stderr_lines`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Format and write *record*; if that fails, what can be said of it, in the same form."""
        try:
            stderr_lines.write(f"{self._line(record)}\n")
        except Exception:
            self.handleError(record)

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:
            return self.format(_unformattable(record, error))


def _unformattable(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    """Return a record of the text of *record* alone, with where it was logged and why it has no more."""
    where = f"{record.pathname}:{record.lineno}"
    why = f"{type(error).__name__}: {error}"
    text = f"{record.msg!s} [logged at {where}, but can't be formatted: {why}]"
    return logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, text, None, None)
