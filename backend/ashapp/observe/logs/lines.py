# SPDX-License-Identifier: MIT
"""Writes the log of a process: whole lines to standard error, in their order.

Theory of operation. A write is a system call, and to make a single line takes twice as long as to make one of
many. So requests that have ended are put aside. Some milliseconds later their lines are made and go out in
one write, or before that together with a line of another logger.

No code waits for the reader of the log. Lines that can't be written at once go to a thread, through a bounded
queue, and so do all further lines until the queue is empty. A line that finds no room there is lost and
counted. The count is logged as soon as the reader goes on. The last quarter of the queue is not for the
access log. At the interpreter's exit the rest is written, as long as somebody reads; also by ``os._exit``,
after ``write_before_exit``.

The thread that has the lock writes the lines of all, so no other thread waits for it. Nor does code that logs
when the garbage collector runs it in the middle of a write.
"""

import atexit
import logging
import os
import sys
import threading
import time
from _thread import start_new_thread  # `threading.Thread` waits for its start, and gevent replaces it
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from select import PIPE_BUF
from typing import NoReturn, TextIO

from ashapp.observe.logs.outlet import Outlet, identity
from ashapp.observe.observation import Observation

__all__ = ["AccessLine", "Lines", "stderr_lines", "write_before_exit"]

#: Makes the line of a request that has ended at a time, in seconds since the epoch.
AccessLine = Callable[[Observation, float], str]

_log = logging.getLogger("ashapp.observe")

# Bytes that wait for a reader: some ten thousand lines.
_LIMIT = 4 << 20
# Seconds without progress after which a reader is given up at the end.
_PATIENCE = 1.0
_LAST_PATIENCE = 0.1
_POLL = 0.005
# Seconds from one report of lost lines to the next.
_PAUSE = 1.0


class Lines:
    """The lines for a *stream*; None stands for standard error, whatever that is at each write.

    At most *limit* bytes wait for a reader. A stream without a descriptor is written to at once.
    """

    def __init__(self, stream: TextIO | None = None, limit: int = _LIMIT) -> None:
        #: Makes the line of a request that has ended; without an access log, an empty one.
        self.make_line: AccessLine = lambda *_: ""
        self._stream = stream
        self._limit = limit
        self._is_forked = False
        self._waiting: deque[str | Observation] = deque()
        #: Puts a request that has ended aside. The next ``flush`` makes and writes its line.
        self.put: Callable[[Observation], None] = self._waiting.append
        self._begin()

    def _begin(self) -> None:
        self._outlet: Outlet | None = None
        self._waiting.clear()
        self._lock = threading.Lock()
        # The queue for the thread, and how many bytes have been put there and taken from there.
        self._queue: SimpleQueue[tuple[Outlet, bytes]] = SimpleQueue()
        self._queued = self._taken = 0
        self._has_thread = False
        # Counts of lines: those without room, those that the thread could not write, those that the log has
        # told of.
        self._dropped = self._failed = self._told = 0
        self._told_at = float("-inf")

    def begin_anew(self, *, is_forked: bool = True) -> None:
        """Begin anew in a forked child: the lines that wait are its parent's. It writes without a thread.

        *is_forked* is false for a process of the service, which has a thread.
        """
        self._is_forked = is_forked
        self._begin()

    @property
    def lost(self) -> int:
        """How many lines have been lost so far, because nobody read them."""
        return self._dropped + self._failed

    def write(self, line: str) -> None:
        """Write *line*, which ends in a newline, after all that wait."""
        self._waiting.append(line)
        self.flush()

    def flush(self) -> None:
        """Write all lines that wait, or have them written if that would take time. From any thread."""
        while self._waiting and self._lock.acquire(blocking=False):
            try:
                if lines := self._take(len(self._waiting)):
                    self._write(lines)
            finally:
                self._lock.release()
        self._tell()

    def finish(self, patience: float = _PATIENCE) -> None:
        """Wait until all is written, or nobody has read for *patience* seconds."""
        self.flush()
        self._wait(patience)
        self._tell(pause=0)
        self._wait(patience)

    def _wait(self, patience: float) -> None:
        taken, since = self._taken, time.monotonic()
        while self._queued != self._taken and time.monotonic() - since < patience:
            if taken != self._taken:
                taken, since = self._taken, time.monotonic()
            time.sleep(_POLL)

    def _take(self, count: int) -> list[str]:
        """Take *count* lines that wait. Lines without room, and lines that can't be made, are lost."""
        used = self._queued - self._taken
        has_room, has_room_for_access = used < self._limit, used < self._limit // 4 * 3
        # The difference between the time of day and the clock of requests.
        shift = time.time() - time.perf_counter()
        take, make_line = self._waiting.popleft, self.make_line
        lines: list[str] = []
        for _ in range(count):
            entry = take()
            if isinstance(entry, str):
                if has_room:
                    lines.append(entry)
            elif has_room_for_access:
                try:
                    lines.append(make_line(entry, shift + entry.ended_at))
                except Exception:  # noqa: S112 - it is counted below
                    continue
        self._dropped += count - len(lines)
        return lines

    def _write(self, lines: list[str]) -> None:
        stream, text = self._stream or sys.stderr, "".join(lines)
        try:
            fd = stream.fileno()
            if self._outlet is None or self._outlet.identity != identity(fd):
                self._outlet = Outlet(fd)
        except (OSError, ValueError, AttributeError):  # it has none
            try:
                stream.write(text)
                stream.flush()
            except (OSError, ValueError, AttributeError):  # it is closed, or there is none
                self._dropped += len(lines)
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        for chunk in _chunks(text.encode(encoding, "backslashreplace")):
            self._put(self._outlet, chunk)

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
            if not self._has_thread:
                with suppress(RuntimeError):  # there are too many threads; the next line tries again
                    start_new_thread(self._write_queue, ())
                    self._has_thread = True

    def _write_queue(self) -> None:
        while True:
            outlet, chunk = self._queue.get()
            try:
                outlet.write(chunk)
            except OSError:
                self._failed += chunk.count(b"\n")
            self._taken += len(chunk)
            self._tell()

    def _tell(self, pause: float = _PAUSE) -> None:
        now, count = time.monotonic(), self.lost - self._told
        if count and self._queued == self._taken and now - self._told_at >= pause:
            self._told, self._told_at = self.lost, now
            _log.warning("%d lines of the log are lost, because nobody read them in time", count)


def _chunks(text: bytes) -> Iterator[bytes]:
    """Cut *text* between lines into pieces that a pipe takes whole. A line may be too long for that."""
    begin = 0
    while begin < len(text):
        end = len(text)
        # A pipe takes so many bytes whole, also beside programs that do not lock it (pipe(7)).
        if end - begin > PIPE_BUF:
            end = text.rfind(b"\n", begin, begin + PIPE_BUF) + 1 or text.find(b"\n", begin) + 1 or end
        yield text[begin:end]
        begin = end


def write_before_exit() -> None:
    """Let ``os._exit``, which ends the process at once, write the lines that wait."""
    end = os._exit

    def write_and_end(status: int) -> NoReturn:
        stderr_lines.finish(_LAST_PATIENCE)
        end(status)

    os._exit = write_and_end


#: The lines of this process.
stderr_lines = Lines()
atexit.register(stderr_lines.finish)
os.register_at_fork(after_in_child=stderr_lines.begin_anew)
