# SPDX-License-Identifier: MIT
"""Where the log of a process goes: whole lines to standard error, in the order in which they were made.

Theory of operation. A write is a system call, and a line that is made by itself takes twice as long as one of
many. So requests that have ended are put aside, until their lines are made and go out in one write, some
milliseconds later. A line of another logger takes those that wait along.

Nobody waits for whoever reads the log. What can't be written without waiting goes to a thread, through a
bounded queue. So does all that follows until the queue is empty. A line that finds no room there is lost and
counted, and the count is logged as soon as the reader goes on. The last quarter of the room is not for the
access log. The interpreter's exit writes what is left, as long as somebody reads, and so does ``os._exit``
where that is asked for.

Whoever has the lock writes for all. So nobody waits for it: no other thread, and no code that the garbage
collector runs in the middle of a write, and that logs.
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
    """The lines that go to a *stream*; standard error, as it is when they are written, if that is None.

    At most *limit* bytes wait for a reader. A stream without a descriptor is written to at once.
    """

    def __init__(self, stream: TextIO | None = None, limit: int = _LIMIT) -> None:
        #: Makes the lines of requests that have ended: none, without an access log.
        self.make_line: AccessLine = lambda *_: ""
        self._stream = stream
        self._limit = limit
        self._is_forked = False
        self._waiting: deque[str | Observation] = deque()
        #: Has the line of a request that has ended written at the next ``flush``. It is made only then.
        self.put: Callable[[Observation], None] = self._waiting.append
        self._begin()

    def _begin(self) -> None:
        self._outlet: Outlet | None = None
        self._waiting.clear()
        self._lock = threading.Lock()
        # What waits for the thread; how many bytes have been put there, and how many were taken from there.
        self._queue: SimpleQueue[tuple[Outlet, bytes]] = SimpleQueue()
        self._queued = self._taken = 0
        self._has_thread = False
        # Lines that found no room, that the thread could not write, and that the log has told of.
        self._dropped = self._failed = self._told = 0
        self._told_at = float("-inf")

    def begin_anew(self, *, is_forked: bool = True) -> None:
        """Begin anew in a forked child: what waits is its parent's. It has no thread, and so waits itself.

        Unless it is a process of the service (*is_forked* false), which has a thread as any other.
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
        """Take *count* lines that wait; those for which there is no room, or that can't be made, are lost."""
        used = self._queued - self._taken
        has_room, has_room_for_access = used < self._limit, used < self._limit // 4 * 3
        # From the clock that times requests to the time of day.
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
    """Cut *text* between lines into pieces that are written whole, as far as lines are short enough."""
    begin = 0
    while begin < len(text):
        end = len(text)
        # A pipe takes so much whole, also beside programs that do not lock it (pipe(7)).
        if end - begin > PIPE_BUF:
            end = text.rfind(b"\n", begin, begin + PIPE_BUF) + 1 or text.find(b"\n", begin) + 1 or end
        yield text[begin:end]
        begin = end


def write_before_exit() -> None:
    """Let ``os._exit``, which ends the interpreter at once, write what waits before that."""
    end = os._exit

    def write_and_end(status: int) -> NoReturn:
        stderr_lines.finish(_LAST_PATIENCE)
        end(status)

    os._exit = write_and_end


#: The lines of this process.
stderr_lines = Lines()
atexit.register(stderr_lines.finish)
os.register_at_fork(after_in_child=stderr_lines.begin_anew)
