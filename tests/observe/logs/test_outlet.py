# SPDX-License-Identifier: MIT
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


def make_pipe(stack: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        stack.callback(os.close, end)
    return ends


def make_sockets(stack: ExitStack) -> tuple[int, int]:
    reader, writer = socket.socketpair()
    return stack.enter_context(reader).fileno(), stack.enter_context(writer).fileno()


def make_terminal(stack: ExitStack) -> tuple[int, int]:
    ends = os.openpty()
    for end in ends:
        stack.callback(os.close, end)
    return ends


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread writes")
@pytest.mark.parametrize("make", [make_pipe, make_sockets, make_terminal])
def test_a_reader_that_stops_stops_nobody(
    make: Callable[[ExitStack], tuple[int, int]], stack: ExitStack
) -> None:
    reader, writer = make(stack)
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    outlet = Outlet(writer)
    stack.callback(outlet.close)
    assert fcntl.fcntl(writer, fcntl.F_GETFL) == flags, "others share the open file"
    sent = 0
    while written := outlet.try_write(LINE):
        sent += written
    assert sent > 1000
    # Who waits goes on with the reader.
    rest = threading.Thread(target=outlet.write, args=(LINE * 10,), daemon=True)
    rest.start()
    received = 0
    while received < sent + 10 * len(LINE):
        received += len(os.read(reader, 65536).replace(b"\r\n", b"\n"))
    rest.join(PATIENCE)
    assert outlet.try_write(LINE) == len(LINE)


def test_a_pipe_that_others_have_made_non_blocking_loses_nothing(stack: ExitStack) -> None:
    reader, writer = make_pipe(stack)
    os.set_blocking(writer, False)
    outlet = Outlet(writer)
    stack.callback(outlet.close)
    rest = threading.Thread(target=outlet.write, args=(LINE * 5000,), daemon=True)
    rest.start()
    received = b""
    while len(received) < 5000 * len(LINE):
        received += os.read(reader, 65536)
    rest.join(PATIENCE)
    assert received == LINE * 5000


def test_what_waits_is_not_written_to_whatever_has_got_its_number(stack: ExitStack) -> None:
    others_reader, others_writer = make_pipe(stack)
    reader, writer = make_pipe(stack)
    outlet = Outlet(writer)
    os.dup2(others_writer, writer)
    outlet.write(LINE)
    assert os.read(reader, 1000) == LINE
    del outlet
    assert os.read(reader, 1000) == b"", "nothing is left open"
    os.set_blocking(others_reader, False)
    with pytest.raises(BlockingIOError):
        os.read(others_reader, 1000)
