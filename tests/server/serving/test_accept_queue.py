# SPDX-License-Identifier: MIT
import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ashapp.server.operating_system.sockets import socket_files
from ashapp.server.serving import accept_queue
from ashapp.server.serving.accept_queue import accept_queued, refuse_new
from ashapp.server.settings.sources.addresses import UnixAddress


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def connect(listener: socket.socket, timeout: float = 5) -> socket.socket:
    return socket.create_connection(listener.getsockname(), timeout)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has socket filters")
def test_no_new_connection_comes_into_the_queue(listener: socket.socket) -> None:
    with connect(listener) as before:
        refuse_new([listener])
        with pytest.raises(TimeoutError):
            connect(listener, timeout=0.3)
        (accepted,) = accept_queued([listener])
        accepted.send(b"still heard")
        assert before.recv(11) == b"still heard"
        accepted.close()


def test_a_unix_socket_loses_its_name(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen()
        client.connect(path)
        files = socket_files([UnixAddress(path)])
        refuse_new([listener], files)
        assert not Path(path).exists()
        (accepted,) = accept_queued([listener])
        accepted.close()
        refuse_new([listener], files)
        Path(path).touch()
        refuse_new([listener], files)
        refuse_new([listener])
        assert Path(path).exists(), "it is another's"


def test_a_sandbox_without_filters_is_no_hindrance(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept_queue, "_SO_ATTACH_FILTER", 12345)
    refuse_new([listener])
    with connect(listener):
        (accepted,) = accept_queued([listener])
        accepted.close()


def test_a_client_that_has_gone_is_passed_over() -> None:
    class Listener:
        def __init__(self) -> None:
            self.results: list[socket.socket | OSError] = [
                ConnectionAbortedError(),
                socket.socket(),
                BlockingIOError(),
            ]

        def settimeout(self, timeout: float) -> None:
            assert timeout == 0

        def accept(self) -> tuple[socket.socket, None]:
            result = self.results.pop(0)
            if isinstance(result, OSError):
                raise result
            return result, None

    (accepted,) = accept_queued([Listener()])  # type: ignore[list-item]
    with contextlib.closing(accepted):
        assert accepted.gettimeout() == 0
