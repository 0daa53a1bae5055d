# SPDX-License-Identifier: MIT
import asyncio
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest

from ashapp.observe.logs import lines, outlet
from ashapp.observe.logs.formats import LineHandler
from ashapp.observe.logs.lines import Lines
from tests.support.waiting import PATIENCE, until


class Stream(io.StringIO):
    """Counts its writes."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


async def test_lines_of_one_round_of_the_loop_go_out_together() -> None:
    stream = Stream()
    written = Lines(stream)
    for number in range(3):
        written.write_soon(f"{number}\n".__str__)
    assert stream.writes == 0
    await asyncio.sleep(0)
    assert (stream.getvalue(), stream.writes) == ("0\n1\n2\n", 1)


async def test_lines_of_many_rounds_go_out_together_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_PERIOD", 0.2)
    stream = Stream()
    written = Lines(stream)
    for number in range(3):
        written.write_soon(f"{number}\n".__str__)
        await asyncio.sleep(0)
    assert (stream.getvalue(), stream.writes) == ("0\n", 1)
    await asyncio.sleep(0.3)
    assert (stream.getvalue(), stream.writes) == ("0\n1\n2\n", 2)
    await asyncio.sleep(0.3)
    written.write_soon("3\n".__str__)
    await asyncio.sleep(0)
    assert stream.writes == 3


async def test_the_order_is_kept() -> None:
    stream = Stream()
    written = Lines(stream)
    written.write_soon("access\n".__str__)
    written.write("error\n")
    assert stream.getvalue() == "access\nerror\n"
    await asyncio.sleep(0)
    assert stream.writes == 1


def test_the_interpreters_exit_loses_nothing() -> None:
    code = """
import asyncio
from ashapp.observe.logs.lines import stderr_lines
async def main():
    stderr_lines.write_soon("last\\n".__str__)
    raise SystemExit(0)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr == "last\n"


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


# -- a reader that stops


class Pipe:
    """A pipe with a stream to write to; its other end is read only when a test says so."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.stream = open(writer, "w")  # noqa: PTH123, SIM115 - a descriptor, closed by ``close``

    def read(self) -> bytes:
        return os.read(self.reader, 65536)

    def read_until(self, end: bytes) -> list[str]:
        found = b""
        while end not in found:
            found += self.read()
        return found.decode().splitlines()

    def read_lines(self, count: int) -> list[str]:
        found = b""
        while found.count(b"\n") < count:
            found += self.read()
        return found.decode().splitlines()

    def close(self) -> None:
        self.stream.close()
        os.close(self.reader)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture(params=["without waiting", "by a thread"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a pipe be opened anew, or not."""
    if request.param == "by a thread":
        monkeypatch.setattr(outlet.Outlet, "try_write", lambda *_: 0)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_reader_that_stops_stops_nobody_and_what_it_misses_is_counted_and_told(
    pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    written = Lines(pipe.stream, limit=100_000)
    for number in range(5000):
        written.write(f"{number} {'-' * 90}\n")
    lost = written.lost
    assert 2000 < lost < 4500
    assert caplog.messages == []
    threading.Thread(target=written.finish, args=(PATIENCE,), daemon=True).start()
    found = pipe.read_lines(5000 - lost)
    numbers = [int(line.removesuffix(" " + "-" * 90)) for line in found]
    assert numbers == sorted(set(numbers))
    until(lambda: caplog.messages)
    assert caplog.messages == [f"{lost} lines of the log are lost, because nobody read them in time"]
    written.write("on it goes\n")
    assert pipe.read() == b"on it goes\n"
    assert written.lost == lost


async def test_the_last_room_is_not_for_the_access_log(pipe: Pipe) -> None:
    written = Lines(pipe.stream, limit=100_000)
    for _ in range(2000):
        written.write_soon(f"access {'-' * 92}\n".__str__)
        written.flush()
    lost = written.lost
    assert lost > 100
    written.write("error\n")
    assert written.lost == lost
    await asyncio.to_thread(pipe.read_until, b"error\n")


def test_a_line_that_is_longer_than_the_room_is_whole(pipe: Pipe) -> None:
    written = Lines(pipe.stream, limit=1000)
    long = "-" * 300_000
    written.write(f"{long}\n")
    assert pipe.read_until(b"\n") == [long]


def test_a_line_that_cannot_be_made_takes_no_other_along() -> None:
    def fail() -> str:
        raise LookupError("oops")

    stream = Stream()
    written = Lines(stream)
    written._waiting.extend(["first\n".__str__, fail])
    written.write("last\n")
    assert stream.getvalue() == "first\nlast\n"
    assert written.lost == 1


def test_what_is_logged_in_the_middle_of_a_write_follows() -> None:
    """Such as by the garbage collector, which may run at any time."""
    stream = Stream()
    written = Lines(stream)

    def interrupt() -> str:
        written.write("nested\n")
        return "outer\n"

    written._waiting.append(interrupt)
    written.flush()
    assert stream.getvalue() == "outer\nnested\n"


def run(code: str, **options: Any) -> subprocess.Popen[bytes]:
    begin = "import os, sys, time\nfrom ashapp.observe.logs.lines import stderr_lines\n"
    return subprocess.Popen([sys.executable, "-c", begin + dedent(code)], **options)


def read_to_end(fd: int) -> list[str]:
    found = b""
    while data := os.read(fd, 65536):
        found += data
    os.close(fd)
    return found.decode().splitlines()


@pytest.mark.parametrize("is_read", [True, False])
def test_the_exit_writes_what_is_read_and_waits_for_nobody(is_read: bool) -> None:  # noqa: FBT001
    reader, writer = os.pipe()
    process = run("for n in range(3000):\n    stderr_lines.write(f'{n} {\"-\" * 90}\\n')", stderr=writer)
    os.close(writer)
    try:
        if not is_read:
            process.wait(PATIENCE)
        found = read_to_end(reader)
    finally:
        process.kill()
        process.wait()
    assert found == [f"{number} {'-' * 90}" for number in range(len(found))]
    assert (len(found) == 3000) is is_read


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("stderr_lines.write('crash\\n'); os._exit(1)", ["crash"]),
        ("stderr_lines.write('crash\\n'); os.kill(os.getpid(), 9)", ["crash"]),
        (
            "stderr_lines.write('exec\\n'); os.execl('/bin/sh', 'sh', '-c', 'echo after >&2')",
            ["exec", "after"],
        ),
        (
            """
            stderr_lines._waiting.append("parent\\n".__str__)
            pid = os.fork()
            stderr_lines.write("child\\n" if pid == 0 else "")
            os._exit(0) if pid == 0 else os.waitpid(pid, 0)
            """,
            ["parent", "child"],
        ),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread writes")
def test_what_has_been_written_survives_a_crash_a_fork_and_an_exec(code: str, expected: list[str]) -> None:
    reader, writer = os.pipe()
    process = run(code, stderr=writer)
    os.close(writer)
    found = read_to_end(reader)
    process.wait(PATIENCE)
    assert sorted(found) == sorted(expected)


def test_a_child_has_nothing_open_of_its_parents_and_writes_all_before_it_ends() -> None:
    code = """
    stderr_lines.write("parent\\n")
    before = set(os.listdir("/proc/self/fd"))
    if os.fork() == 0:
        own = set(os.listdir("/proc/self/fd"))
        for n in range(3000):
            stderr_lines.write(f"{n} {'-' * 90}\\n")
        stderr_lines.write(f"{len(before) - len(own)} closed\\n")
        os._exit(0)
    os.wait()
    """
    reader, writer = os.pipe()
    process = run(code, stderr=writer)
    os.close(writer)
    found = read_to_end(reader)
    process.wait(PATIENCE)
    assert found == ["parent", *(f"{n} {'-' * 90}" for n in range(3000)), "2 closed"]


def test_lines_of_several_processes_stay_whole_while_the_reader_stops_now_and_then() -> None:
    code = "for n in range(3000):\n    stderr_lines.write(f'{sys.argv[1]} {n} {\"-\" * (n % 200)}\\n')"
    reader, writer = os.pipe()
    begin = "import sys\nfrom ashapp.observe.logs.lines import stderr_lines\n"
    processes = [
        subprocess.Popen([sys.executable, "-c", begin + code, name], stderr=writer) for name in "abc"
    ]
    os.close(writer)
    time.sleep(0.2)
    found = read_to_end(reader)
    for process in processes:
        process.wait(PATIENCE)
    for name in "abc":
        own = [line for line in found if line.startswith(name)]
        assert own == [f"{name} {n} {'-' * (n % 200)}" for n in range(3000)]
    assert len(found) == 9000
