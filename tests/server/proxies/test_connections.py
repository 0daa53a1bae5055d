# SPDX-License-Identifier: MIT
"""Connections with a header of the PROXY protocol, over sockets."""

import json
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.protocols.limits import refused
from ashapp.server.serving import draining_server
from tests.server.proxies.test_proxy_protocol import BY_TLS, IPV4, binary
from tests.server.serving.accepting import accepting, serving
from tests.support.client import Connection
from tests.support.network.tls import make_certificate, needs_openssl
from tests.support.server import COMBINATIONS
from tests.support.waiting import PATIENCE, until

LINE = b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 443\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
TOLD = {"client": ["198.51.100.7", 40000], "server": ["192.0.2.1", 443]}

calls: list[Scope] = []


@pytest.fixture(autouse=True)
def nothing_is_counted_yet() -> Iterator[None]:
    calls.clear()
    refused.clear()
    yield
    refused.clear()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the scope tells of the connection."""
    calls.append(scope)
    told = json.dumps({name: scope[name] for name in ("client", "server", "scheme")})
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": told})
        await receive()
    else:
        await receive()
        headers = [(b"content-length", b"%d" % len(told))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told.encode()})


def told_to(connection: Connection) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(connection.receive().body)
    return told


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_the_header_tells_who_the_client_is(combination: tuple[str, str]) -> None:
    http, loop = combination
    with serving(application, proxy_protocol=True, http=http, loop=loop) as address:
        with Connection(address) as connection:  # kept alive, and pipelined
            connection.send(LINE + REQUEST + REQUEST)
            for _ in range(2):
                assert told_to(connection) == {**TOLD, "scheme": "http"}
            assert json.loads(connection.request("GET", "/").body) == {**TOLD, "scheme": "http"}
        with Connection(address) as connection:  # each byte on its own
            for byte in binary(0x11, IPV4 + BY_TLS) + REQUEST:
                connection.send(bytes([byte]))
                time.sleep(0.0005)
            assert told_to(connection) == {**TOLD, "scheme": "https"}
        with Connection(address) as connection:  # a check of the proxy's own
            connection.send(binary(0, b"", command=0x20) + REQUEST)
            own = {"client": ["127.0.0.1", connection.port], "server": list(address), "scheme": "http"}
            assert told_to(connection) == own
        with socket.create_connection(address) as plain:
            plain.sendall(binary(0x11, IPV4 + BY_TLS))
            with connect(f"ws://localhost:{address[1]}", sock=plain) as websocket:
                assert json.loads(websocket.recv(PATIENCE)) == {**TOLD, "scheme": "wss"}


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_many_are_introduced_at_once_and_none_gets_the_address_of_another(loop: str) -> None:
    with serving(application, proxy_protocol=True, loop=loop) as address:
        connections = [Connection(address) for _ in range(100)]
        for part in range(2):
            for number, connection in enumerate(connections):
                block = bytes([10, 0, 0, number]) + bytes([10, 1, 1, 1]) + struct.pack("!HH", number, 80)
                header = binary(0x11, block)
                connection.send(header[:20] if part == 0 else header[20:] + REQUEST)
        clients = [told_to(connection)["client"] for connection in connections]
        assert clients == [[f"10.0.0.{number}", number] for number in range(100)]
        for connection in connections:
            connection.close()


@needs_openssl
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_header_comes_before_tls(tmp_path: Path, loop: str) -> None:
    files: dict[str, Any] = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=files["ssl_certfile"])
    with (
        serving(application, proxy_protocol=True, loop=loop, **files) as address,
        socket.create_connection(address, timeout=PATIENCE) as plain,
    ):
        plain.sendall(LINE)
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(REQUEST)
            _, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            assert json.loads(body or connection.recv(65536)) == {**TOLD, "scheme": "https"}


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_proxy_may_come_by_a_unix_socket(tmp_path: Path, loop: str) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        with (
            accepting(application, listener, proxy_protocol=True, loop=loop),
            socket.socket(socket.AF_UNIX) as connection,
        ):
            connection.connect(path)
            connection.sendall(LINE + REQUEST)
            answer = connection.recv(65536)
            body = answer.partition(b"\r\n\r\n")[2] or connection.recv(65536)
            assert json.loads(body)["client"] == TOLD["client"]


REFUSED: dict[str, tuple[bytes, dict[str, Any], int, str]] = {
    "no header": (REQUEST, {}, 400, "does not begin with a header"),
    "malformed": (b"PROXY TCP4 me you 1 2\r\n" + REQUEST, {}, 400, "is malformed"),
    "too late": (LINE[:20], {"timeout_head": 0.3}, 408, "was not complete after 0.3 s"),
    "not trusted": (LINE + REQUEST, {"forwarded_allow_ips": "10.0.0.0/8"}, 403, "name it in forwarded_allow"),
    "TLS, not trusted": (
        binary(0x31, bytes(216) + BY_TLS) + REQUEST,
        {"forwarded_allow_ips": "10.0.0.0/8"},
        403,
        "name it in forwarded_allow_ips",
    ),
}


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_closed_counted_and_told(
    caplog: pytest.LogCaptureFixture, name: str, loop: str
) -> None:
    sent, flags, status, why = REFUSED[name]
    caplog.set_level("INFO", "ashapp.server")
    with serving(application, proxy_protocol=True, loop=loop, **flags) as address:
        with Connection(address) as connection:
            connection.send(sent)
            with suppress(ConnectionResetError):  # what was sent has not been read
                connection.wait_for_close(PATIENCE)
            port = connection.port
        with Connection(address) as connection:  # nobody else is harmed, and no claim needs no trust
            connection.send(b"PROXY UNKNOWN\r\n" + REQUEST)
            assert told_to(connection)["client"] == ["127.0.0.1", connection.port]
    assert len(calls) == 1
    assert refused == {status: 1}
    (line,) = (message for message in caplog.messages if message.startswith("Refused"))
    assert line.startswith(f"Refused a connection of 127.0.0.1:{port}: ")
    assert why in line


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_who_has_not_sent_the_header_holds_up_no_end(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)

    async def accept_last(*_: object) -> list[socket.socket]:
        return [ours]

    monkeypatch.setattr(draining_server, "accept_last", accept_last)
    flags: dict[str, Any] = {"proxy_protocol": True, "timeout_head": 60, "timeout_graceful_shutdown": 1}
    with theirs:
        with serving(application, loop=loop, **flags) as address:
            waiting = Connection(address)
            waiting.send(LINE[:5])
            theirs.send(LINE[:5])
            began = time.monotonic()
        assert time.monotonic() - began < PATIENCE
        theirs.settimeout(PATIENCE)
        assert theirs.recv(1) == b""
        with waiting, suppress(ConnectionResetError):
            waiting.wait_for_close(PATIENCE)


def test_who_only_looks_whether_somebody_listens_is_no_matter(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ashapp.server")
    with serving(application, proxy_protocol=True, timeout_head=0.2) as address:
        Connection(address).close()
        with Connection(address) as connection:
            connection.wait_for_close(PATIENCE)
        with Connection(address) as connection:
            connection.send(LINE[:5])
        until(lambda: refused[400] == 1)
    assert refused == {400: 1}
    assert [
        message for message in caplog.messages if "Refused" in message and "ended within" not in message
    ] == []
