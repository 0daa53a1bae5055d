# SPDX-License-Identifier: MIT
import asyncio
import io
import logging
import subprocess
import sys
import threading

import pytest

from ashapp.observe import lines
from ashapp.observe.lines import LineHandler, Lines


class Stream(io.StringIO):
    """Counts its writes."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def test_a_line_is_written_at_once() -> None:
    stream = Stream()
    Lines(stream).write("one\n")
    assert stream.getvalue() == "one\n"


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


def test_a_loop_that_stops_before_it_writes_loses_nothing() -> None:
    stream = Stream()
    written = Lines(stream)

    async def leave(text: str) -> None:
        written.write_soon(text.__str__)
        asyncio.get_running_loop().stop()

    for text in ("first\n", "second\n"):
        loop = asyncio.new_event_loop()
        task = loop.create_task(leave(text))
        loop.run_forever()
        assert task.done()
        loop.close()
    assert stream.getvalue() == ""
    written.flush()
    assert stream.getvalue() == "first\nsecond\n"


def test_the_interpreters_exit_loses_nothing() -> None:
    code = """
import asyncio
from ashapp.observe.lines import stderr_lines
async def main():
    stderr_lines.write_soon("last\\n".__str__)
    raise SystemExit(0)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr == "last\n"


def test_lines_of_many_threads_stay_whole() -> None:
    stream = Stream()
    written = Lines(stream)

    def write(number: int) -> None:
        for _ in range(200):
            written.write(f"{number}{'-' * 50}{number}\n")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = stream.getvalue().splitlines()
    assert len(found) == 800
    assert set(found) == {f"{number}{'-' * 50}{number}" for number in range(4)}


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_stream_that_is_gone_disturbs_nobody(error: Exception) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    Lines(Gone()).write("nobody reads this\n")


def test_standard_error_is_looked_up_when_it_is_written_to(capsys: pytest.CaptureFixture[str]) -> None:
    lines.stderr_lines.write("one\n")
    assert capsys.readouterr().err == "one\n"


def test_records_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LineHandler()
    handler.emit(logging.LogRecord("shop", logging.INFO, __file__, 1, "sold %d", (3,), None))
    assert capsys.readouterr().err == "sold 3\n"


def test_a_record_that_cannot_be_formatted_is_a_line_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    LineHandler().emit(logging.LogRecord("shop", logging.INFO, "shop.py", 7, "sold %d", ("three",), None))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sold %d [logged at shop.py:7, but can't be formatted: TypeError: ")


def test_a_record_that_has_no_text_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    class Silent:
        def __str__(self) -> str:
            raise LookupError("no text")

    LineHandler().emit(logging.LogRecord("shop", logging.INFO, "shop.py", 7, Silent(), None, None))
    assert "--- Logging error ---" in capsys.readouterr().err
