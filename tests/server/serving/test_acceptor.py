# SPDX-License-Identifier: MIT
"""Connections of a server with limits, over sockets."""

import asyncio
import errno
import os
import socket
import ssl
import threading
import time
from asyncio import constants
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.serving import acceptor
from ashapp.server.serving.acceptor import tell_if_exhausted
from ashapp.server.serving.draining_server import DrainingServer
from tests.server.serving.accepting import accepting, serving
from tests.support.client import Connection
from tests.support.network.tls import make_certificate, needs_openssl
from tests.support.waiting import PATIENCE, until

SIZE = 8_000_000


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a complete response that is larger than any buffers are."""
    length = (b"content-length", b"%d" % SIZE)
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": bytes(SIZE)})


@needs_openssl
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_tls_handshake_must_come_in_time(tmp_path: Path, loop: str) -> None:
    files: dict[str, Any] = make_certificate(tmp_path)
    with serving(large, loop=loop, timeout_head=0.3, **files) as address:
        for begin in (b"", b"\x16\x03\x01"):
            with Connection(address) as connection:
                connection.send(begin)
                connection.wait_for_close(PATIENCE)


@needs_openssl
@pytest.mark.parametrize("fields", ["", "Connection: close\r\n"], ids=["kept", "closed"])
def test_who_reads_slowly_by_tls_is_not_cut_off_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: str
) -> None:
    monkeypatch.setattr(constants, "SSL_SHUTDOWN_TIMEOUT", 0.2)  # which is 30 s
    files: dict[str, Any] = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=files["ssl_certfile"])
    with (
        serving(large, loop="asyncio", timeout_keep_alive=1, **files) as address,
        socket.create_connection(address, timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
        received = len(connection.recv(65536).partition(b"\r\n\r\n")[2])
        time.sleep(3)  # longer than the connection may be idle, and its end may take
        while received < SIZE and (part := connection.recv(1 << 20)):
            received += len(part)
        assert received == SIZE


def test_it_is_told_once_a_second_that_no_descriptor_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Exhausted(socket.socket):
        def __init__(self) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    tell_if_exhausted(5)
    assert not caplog.records
    monkeypatch.setattr(socket, "socket", Exhausted)
    tell_if_exhausted(5)
    (message,) = caplog.messages
    assert message.startswith("Too many open files, with 5 connections")


def test_asyncio_accepts_again_when_there_are_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    class Poor(socket.socket):
        """Has no descriptor for the first connection."""

        def accept(self) -> Any:
            if not failed.is_set():
                failed.set()
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return super().accept()

    monkeypatch.setattr(acceptor, "_PAUSE", 0.05)
    with serving(large, kind=Poor, loop="asyncio") as address, Connection(address) as connection:
        connection.send_request("GET", "/")
        assert failed.wait(PATIENCE)
        assert len(connection.receive().body) == SIZE


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_who_gives_way_accepts_only_what_others_leave(loop: str) -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        old, new = (
            stack.enter_context(accepting(large, each, loop=loop, timeout_head=60))
            for each in (listener, stack.enter_context(listener.dup()))
        )
        address = listener.getsockname()

        def come(number: int) -> Counter[DrainingServer]:
            """Let so many clients come one after the other; return how many each server has accepted."""
            before = accepted(old, new)
            for count in range(1, number + 1):
                stack.enter_context(Connection(address))
                until(lambda: accepted(old, new).total() == before.total() + count)  # noqa: B023
            return accepted(old, new) - before

        # On a busy machine one may be left to who gives way.
        give_way(old, to_others=True)
        assert come(30)[new] > 25
        give_way(new, to_others=True)
        assert come(3).total() == 3
        give_way(old, to_others=False)
        assert come(30)[old] > 25


def accepted(*servers: DrainingServer) -> Counter[DrainingServer]:
    return Counter({server: len(server.server_state.connections) for server in servers})


def give_way(server: DrainingServer, *, to_others: bool) -> None:
    assert server._loop is not None
    done = asyncio.run_coroutine_threadsafe(server.acceptor.give_way(to_others=to_others), server._loop)
    done.result(PATIENCE)
