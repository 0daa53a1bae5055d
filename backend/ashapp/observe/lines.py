# SPDX-License-Identifier: MIT
"""Where the log of a process goes: whole lines to standard error, in the order in which they were made.

Theory of operation. A write costs a system call, which is more than making an access log line costs. So the
lines of the access log wait until the loop has done its round, and go out in one write; with one request at
a time that is at once. A line of another logger takes those that wait along, so the order is kept, and the
interpreter's exit writes what is left.
"""

import asyncio
import atexit
import logging
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import TextIO

__all__ = ["LineHandler", "Lines", "stderr_lines"]


class Lines:
    """The lines that go to a *stream*; standard error, as it is when they are written, if that is None.

    Where the stream can't be written to any more lines are lost: there is nobody left to be told.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._waiting: deque[str] = deque()
        self._lock = threading.Lock()
        self._flushed_by: asyncio.AbstractEventLoop | None = None
        atexit.register(self.flush)

    def write(self, line: str) -> None:
        """Write *line*, which ends in a newline, after all that wait."""
        self._waiting.append(line)
        self.flush()

    def write_soon(self, line: str) -> None:
        """Write *line* when the running loop has done what it has to do in this round."""
        self._waiting.append(line)
        loop = asyncio.get_running_loop()
        if self._flushed_by is not loop:
            self._flushed_by = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write all lines that wait. From any thread."""
        self._flushed_by = None
        with self._lock, suppress(OSError, ValueError):
            text = "".join([self._waiting.popleft() for _ in range(len(self._waiting))])
            if text:
                stream = self._stream or sys.stderr
                stream.write(text)
                stream.flush()


#: The lines of this process.
stderr_lines = Lines()


class LineHandler(logging.Handler):
    """A handler of `logging` that writes to `stderr_lines`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Format and write *record*."""
        try:
            stderr_lines.write(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)
