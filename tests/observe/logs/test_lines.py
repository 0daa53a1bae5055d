# SPDX-License-Identifier: MIT
import asyncio
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from textwrap import dedent
from typing import TextIO

import pytest

from ashapp.observe.logs import outlet
from ashapp.observe.logs.formats import LineHandler
from ashapp.observe.logs.lines import Lines
from ashapp.observe.observation import Observation
from tests.support.waiting import PATIENCE, until

DASHES = "-" * 90


def lines_to(stream: TextIO, limit: int = 1 << 20) -> Lines:
    """Return lines that show of a request that has ended what was given to `ended`."""
    made = Lines(stream, limit)
    made.make_line = lambda seen, _: str(seen.scope["line"]())
    return made


def ended(line: Callable[[], str]) -> Observation:
    async def send(_: object) -> None: ...

    return Observation({"headers": [], "line": line}, send, lambda _: None)


class Stream(io.StringIO):
    """Counts its writes."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def test_lines_of_requests_wait_and_go_out_together_and_in_order() -> None:
    stream = Stream()
    written = lines_to(stream)
    for number in range(3):
        written.put(ended(f"{number}\n".__str__))
    assert stream.writes == 0
    written.flush()
    assert (stream.getvalue(), stream.writes) == ("0\n1\n2\n", 1)
    written.put(ended("access\n".__str__))
    written.write("error\n")
    assert (stream.getvalue(), stream.writes) == ("0\n1\n2\naccess\nerror\n", 2)


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_stream_that_is_gone_disturbs_nobody(error: Exception) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    Lines(Gone()).write("nobody reads this\n")


def test_a_record_that_has_no_text_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    class Silent:
        def __str__(self) -> str:
            raise LookupError("no text")

    LineHandler().emit(logging.LogRecord("shop", logging.INFO, "shop.py", 7, Silent(), None, None))
    assert "--- Logging error ---" in capsys.readouterr().err


def test_a_line_that_cannot_be_made_takes_no_other_along() -> None:
    def fail() -> str:
        raise LookupError("oops")

    stream = Stream()
    written = lines_to(stream)
    written.put(ended("first\n".__str__))
    written.put(ended(fail))
    written.write("last\n")
    assert (stream.getvalue(), written.lost) == ("first\nlast\n", 1)


def test_what_is_logged_in_the_middle_of_a_write_follows() -> None:
    """Such as by the garbage collector, which may run at any time."""
    stream = Stream()
    written = lines_to(stream)

    def interrupt() -> str:
        written.write("nested\n")
        return "outer\n"

    written.put(ended(interrupt))
    written.flush()
    assert stream.getvalue() == "outer\nnested\n"


# -- a reader that stops


class Pipe:
    """A pipe with a stream to write to; its other end is read only when a test says so."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stream = open(writer, "w")  # noqa: PTH123, SIM115 - a descriptor, closed by ``close``

    def read(self, count: int = 1, end: bytes = b"\n") -> list[str]:
        """Read until *end* has come *count* times."""
        found = b""
        while found.count(end) < count:
            found += os.read(self.reader, 65536)
        return found.decode().splitlines()

    def close(self) -> None:
        self.stream.close()
        os.close(self.reader)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.mark.parametrize("is_opened_anew", [True, False])
def test_a_reader_that_stops_stops_nobody_and_what_it_misses_is_counted_and_told(
    pipe: Pipe, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, is_opened_anew: bool
) -> None:
    if not is_opened_anew:  # then a thread writes all of it
        monkeypatch.setattr(outlet.Outlet, "try_write", lambda *_: 0)
    written = Lines(pipe.stream, limit=100_000)
    for number in range(5000):
        written.write(f"{number} {DASHES}\n")
    lost = written.lost
    assert 2000 < lost < 4500
    assert caplog.messages == []
    threading.Thread(target=written.finish, args=(PATIENCE,), daemon=True).start()
    numbers = [int(line.removesuffix(f" {DASHES}")) for line in pipe.read(5000 - lost)]
    assert numbers == sorted(set(numbers))
    until(lambda: caplog.messages)
    assert caplog.messages == [f"{lost} lines of the log are lost, because nobody read them in time"]
    written.write("on it goes\n")
    assert pipe.read() == ["on it goes"]
    assert written.lost == lost


async def test_the_last_room_is_not_for_the_access_log(pipe: Pipe) -> None:
    written = lines_to(pipe.stream, limit=100_000)
    for _ in range(2000):
        written.put(ended(f"access {DASHES}\n".__str__))
        written.flush()
    lost = written.lost
    assert lost > 100
    written.write("error\n")
    assert written.lost == lost
    await asyncio.to_thread(pipe.read, end=b"error\n")


def test_a_line_that_is_longer_than_the_room_is_whole(pipe: Pipe) -> None:
    Lines(pipe.stream, limit=1000).write(f"{DASHES * 4000}\n")
    assert pipe.read() == [DASHES * 4000]


# -- processes, and their end

BEGIN = """
import asyncio, os, sys
from ashapp.observe.logs.lines import stderr_lines
from ashapp.observe.observation import Observation
def put(line):
    stderr_lines.make_line = lambda *_: line
    stderr_lines.put(Observation({"headers": []}, None, None))
def fill(name="", length=90):
    for n in range(270_000 // length):
        stderr_lines.write(f"{name}{n} {'-' * length}\\n")
"""
MANY = [f"{number} {DASHES}" for number in range(3000)]


def written_by(*programs: str, is_read: bool = True) -> list[str]:
    """Return what *programs* write to one pipe, which is read after their end unless *is_read*."""
    reader, writer = os.pipe()
    processes = [subprocess.Popen([sys.executable, "-c", BEGIN + dedent(p)], stderr=writer) for p in programs]
    os.close(writer)
    try:
        if is_read:
            time.sleep(0.2)  # so that the pipe may be full
        else:
            for process in processes:
                process.wait(PATIENCE)
        with open(reader) as file:  # noqa: PTH123 - a descriptor
            return file.read().splitlines()
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_the_exit_writes_what_is_read_and_waits_for_nobody() -> None:
    assert written_by("fill()") == MANY
    found = written_by("fill()", is_read=False)
    assert found == MANY[: len(found)] != MANY


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            """
            async def main():
                put("last\\n")
                raise SystemExit(0)
            asyncio.run(main())
            """,
            ["last"],
        ),
        (
            """
            from ashapp.observe.logs.lines import write_before_exit
            async def main():
                write_before_exit()
                put("last\\n")
                os._exit(0)
            asyncio.run(main())
            """,
            ["last"],
        ),
        ("stderr_lines.write('crash\\n'); os._exit(1)", ["crash"]),
        ("stderr_lines.write('crash\\n'); os.kill(os.getpid(), 9)", ["crash"]),
        (
            "stderr_lines.write('exec\\n'); os.execl('/bin/sh', 'sh', '-c', 'echo after >&2')",
            ["after", "exec"],
        ),
        (
            """
            put("parent\\n")
            pid = os.fork()
            stderr_lines.write("child\\n" if pid == 0 else "")
            os._exit(0) if pid == 0 else os.waitpid(pid, 0)
            """,
            ["child", "parent"],
        ),
    ],
    ids=["exit", "_exit-soon", "_exit", "kill", "exec", "fork"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread writes")
def test_what_has_been_written_survives_a_crash_a_fork_and_an_exec(program: str, expected: list[str]) -> None:
    assert sorted(written_by(program)) == expected


def test_a_child_has_nothing_open_of_its_parents_and_writes_all_before_it_ends() -> None:
    program = """
    stderr_lines.write("parent\\n")
    before = set(os.listdir("/proc/self/fd"))
    if os.fork() == 0:
        own = set(os.listdir("/proc/self/fd"))
        fill()
        stderr_lines.write(f"{len(before) - len(own)} closed\\n")
        os._exit(0)
    os.wait()
    """
    assert written_by(program) == ["parent", *MANY, "2 closed"]


def test_lines_of_several_processes_stay_whole_while_the_reader_stops_now_and_then() -> None:
    found = written_by(*(f"fill({name!r})" for name in "abc"), *(f"fill({name!r}, 30_000)" for name in "de"))
    for name in "abc":
        assert [line for line in found if line.startswith(name)] == [f"{name}{line}" for line in MANY]
    long = "-" * 30_000
    for name in "de":
        assert [line for line in found if line.startswith(name)] == [f"{name}{n} {long}" for n in range(9)]
    assert len(found) == 9018
