# SPDX-License-Identifier: MIT
import errno
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ashapp.observe.logs.outlet import Outlet
from tests.support.waiting import PATIENCE

fcntl = pytest.importorskip("fcntl")
LINE = b"x" * 99 + b"\n"


def sockets() -> tuple[int, int]:
    reader, writer = socket.socketpair()
    return reader.detach(), writer.detach()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def open_ends(stack: ExitStack, make: Callable[[], tuple[int, int]] = os.pipe) -> tuple[int, int]:
    """Return descriptors of a reader and a writer, which *stack* closes."""
    ends = make()
    for end in ends:
        stack.callback(os.close, end)
    return ends


def writing(outlet: Outlet, stack: ExitStack, lines: int) -> None:
    """Write *lines* on a thread, which waits for the reader."""
    thread = threading.Thread(target=outlet.write, args=(LINE * lines,), daemon=True)
    thread.start()
    stack.callback(thread.join, PATIENCE)


def read(reader: int, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += os.read(reader, 65536).replace(b"\r\n", b"\n")
    return received


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread writes")
@pytest.mark.parametrize("make", [os.pipe, sockets, os.openpty])
def test_a_reader_that_stops_stops_nobody(make: Callable[[], tuple[int, int]], stack: ExitStack) -> None:
    reader, writer = open_ends(stack, make)
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    outlet = Outlet(writer)
    stack.callback(outlet.close)
    assert fcntl.fcntl(writer, fcntl.F_GETFL) == flags, "others share the open file"
    sent = 0
    while written := outlet.try_write(LINE):
        sent += written
    assert sent > 1000
    with ExitStack() as writers:  # who waits goes on with the reader
        writing(outlet, writers, 10)
        read(reader, sent + 10 * len(LINE))
    assert outlet.try_write(LINE) == len(LINE)


def test_a_pipe_that_others_have_made_non_blocking_loses_nothing(stack: ExitStack) -> None:
    reader, writer = open_ends(stack)
    os.set_blocking(writer, False)
    outlet = Outlet(writer)
    stack.callback(outlet.close)
    writing(outlet, stack, 5000)
    assert read(reader, 5000 * len(LINE)) == LINE * 5000


def test_what_waits_is_not_written_to_whatever_has_got_its_number(stack: ExitStack) -> None:
    others_reader, others_writer = open_ends(stack)
    reader, writer = open_ends(stack)
    outlet = Outlet(writer)
    os.dup2(others_writer, writer)
    outlet.write(LINE)
    assert os.read(reader, 1000) == LINE
    del outlet
    assert os.read(reader, 1000) == b"", "nothing is left open"
    os.set_blocking(others_reader, False)
    with pytest.raises(BlockingIOError):
        os.read(others_reader, 1000)


def test_where_no_lock_is_to_be_had_lines_are_written_without(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    reader, writer = open_ends(stack)
    outlet = Outlet(writer)
    stack.callback(outlet.close)
    outlet.write(LINE)
    assert outlet.try_write(LINE) == len(LINE)
    assert os.read(reader, 1000) == LINE * 2
