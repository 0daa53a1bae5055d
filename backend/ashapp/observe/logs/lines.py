# SPDX-License-Identifier: MIT
"""Where the log of a process goes: whole lines to standard error, in the order in which they were made.

Theory of operation. A write costs a system call, which is more than making an access log line costs. So the
lines of the access log wait until the loop has done its round, and go out in one write; where the last write
was only just before, they wait for some milliseconds more, and for others. With few requests that is at once.
A line of another logger takes those that wait along, so the order is kept.

Nobody waits for who reads the log. What can't be written without waiting goes to a thread, through a queue of
bounded size, and so does all that follows, until the queue is empty again. What finds no room in it is lost,
counted, and told as soon as the reader goes on. The last part of the room is for other lines than those of
the access log. The interpreter's exit writes what is left, as long as somebody reads.

Whoever has the lock writes for all, so that nobody waits for it: neither another thread, nor code that is run
by the garbage collector in the middle of a write, and logs.
"""

import asyncio
import atexit
import logging
import os
import select
import sys
import threading
import time
import traceback
from _thread import start_new_thread  # `threading.Thread` waits for its start, and gevent replaces it
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import TextIO
from weakref import WeakSet

from ashapp.observe.logs.outlet import Outlet

__all__ = ["LineHandler", "Lines", "stderr_lines"]

_log = logging.getLogger("ashapp.observe")

# Seconds from one write to the next that nobody asks for: 200 in a second cost next to nothing.
_PERIOD = 0.005
# Bytes that wait for a reader: some ten thousand lines, of which the access log has three quarters.
_LIMIT = 4 << 20
# Bytes that are written to a pipe whole, whoever else writes there (pipe(7)).
_PIPE_BUF = getattr(select, "PIPE_BUF", 512)
# Seconds without progress after which a reader is given up at the end.
_PATIENCE = 1.0
_POLL = 0.005
# Seconds from one report of lost lines to the next.
_PAUSE = 1.0

_all: "WeakSet[Lines]" = WeakSet()


class Lines:
    """The lines that go to a *stream*; standard error, as it is when they are written, if that is None.

    Of what waits for a reader *limit* bytes are kept. A stream without a descriptor is written to at once.
    """

    def __init__(self, stream: TextIO | None = None, limit: int = _LIMIT) -> None:
        self._stream = stream
        self._limit = limit
        self._flushed_by: asyncio.AbstractEventLoop | None = None
        self._flushed_at = float("-inf")
        self._outlet: Outlet | None = None
        self._is_forked = False
        self._begin()
        _all.add(self)
        atexit.register(self.finish)

    def _begin(self) -> None:
        self._waiting: deque[str | Callable[[], str]] = deque()
        self._lock = threading.Lock()
        # What waits for the thread; how many bytes have been put there, and how many were taken from there.
        self._queue: SimpleQueue[tuple[Outlet, bytes]] = SimpleQueue()
        self._queued = 0
        self._taken = 0
        self._has_writer = False
        # Lines that were not put there, that the thread could not write, and of which has been told.
        self._dropped = 0
        self._failed = 0
        self._told = 0
        self._told_at = float("-inf")

    @property
    def lost(self) -> int:
        """How many lines have been lost so far, because nobody read them."""
        return self._dropped + self._failed

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
        """Write all lines that wait, or have them written if that would take time. From any thread."""
        self._flushed_by = None
        self._flushed_at = time.monotonic()
        while self._waiting and self._lock.acquire(blocking=False):
            try:
                if lines := self._take():
                    self._write(lines)
            finally:
                self._lock.release()
        if self._told != self.lost:
            self._tell()

    def finish(self, patience: float = _PATIENCE) -> None:
        """Wait until all is written, or nobody has read for *patience* seconds."""
        self.flush()
        self._wait(patience)
        if self._told != self.lost:
            self._tell(pause=0)
            self._wait(patience)

    def _wait(self, patience: float) -> None:
        taken, since = self._taken, time.monotonic()
        while self._queued != self._taken and time.monotonic() - since < patience:
            if taken != self._taken:
                taken, since = self._taken, time.monotonic()
            time.sleep(_POLL)

    def _take(self) -> list[str]:
        """Return the lines that wait, without those for which there is no room."""
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        used = self._queued - self._taken
        if used >= self._limit // 4 * 3:
            count = len(waiting)
            waiting = [line for line in waiting if isinstance(line, str) and used < self._limit]
            self._dropped += count - len(waiting)
        try:
            return [line if isinstance(line, str) else line() for line in waiting]
        except Exception:  # one of them can't be made
            return [text for text in map(self._make, waiting) if text]

    def _make(self, line: str | Callable[[], str]) -> str:
        try:
            return line if isinstance(line, str) else line()
        except Exception:
            self._dropped += 1
            return ""

    def _write(self, lines: list[str]) -> None:
        stream = self._stream or sys.stderr
        outlet = self._find_outlet(stream)
        if outlet is None:
            try:
                stream.write("".join(lines))
                stream.flush()
            except (OSError, ValueError, AttributeError):  # it is closed, or there is none
                self._dropped += len(lines)
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        for chunk in _chunks("".join(lines).encode(encoding, "backslashreplace")):
            self._put(outlet, chunk)

    def _find_outlet(self, stream: TextIO) -> Outlet | None:
        try:
            fd = stream.fileno()
            if self._outlet is None or not self._outlet.is_of(fd):
                self._outlet = Outlet(fd)
        except (OSError, ValueError, AttributeError):
            return None
        return self._outlet

    def _put(self, outlet: Outlet, chunk: bytes) -> None:
        try:
            if self._is_forked:
                outlet.write(chunk)
                return
            if self._queued == self._taken:
                chunk = chunk[outlet.try_write(chunk) :]
        except OSError:
            self._dropped += chunk.count(b"\n")
            return
        if chunk:
            self._queued += len(chunk)
            self._queue.put((outlet, chunk))
            self._start()

    def _start(self) -> None:
        if not self._has_writer:
            with suppress(RuntimeError):  # there are too many threads; the next line tries again
                start_new_thread(self._write_queue, ())
                self._has_writer = True

    def _write_queue(self) -> None:
        while True:
            outlet, chunk = self._queue.get()
            try:
                outlet.write(chunk)
            except OSError:
                self._failed += chunk.count(b"\n")
            self._taken += len(chunk)
            if self._told != self.lost and self._queued == self._taken:
                self._tell()

    def _tell(self, pause: float = _PAUSE) -> None:
        now = time.monotonic()
        if self._queued == self._taken and now - self._told_at >= pause:
            count = self.lost - self._told
            self._told, self._told_at = self.lost, now
            _log.warning("%d lines of the log are lost, because nobody read them in time", count)

    def forget(self) -> None:
        """Begin anew in a child: what waits is its parent's. It has no thread, and so waits itself."""
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None
        self._flushed_by = None
        self._is_forked = True
        self._begin()


def _chunks(text: bytes) -> Iterator[bytes]:
    """Cut *text* between lines into pieces that are written whole, as far as lines are short enough."""
    begin = 0
    while len(text) - begin > _PIPE_BUF:
        end = text.rfind(b"\n", begin, begin + _PIPE_BUF) + 1 or text.find(b"\n", begin) + 1 or len(text)
        yield text[begin:end]
        begin = end
    if begin < len(text):
        yield text[begin:]


def _forget() -> None:
    for lines in list(_all):
        lines.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

#: The lines of this process.
stderr_lines = Lines()


class LineHandler(logging.Handler):
    """A handler of `logging` that writes to `stderr_lines`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Format and write *record*; if that fails, what can be said of it, in the same form."""
        try:
            stderr_lines.write(f"{self._line(record)}\n")
        except Exception:
            # Not by ``handleError``, which writes to standard error itself.
            stderr_lines.write(f"--- Logging error ---\n{traceback.format_exc()}")

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
