# SPDX-License-Identifier: MIT
"""Large uploads, and those that break off."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.client import Address, Connection, fetch
from tests.support.memory import on_linux, peak, resident
from tests.support.process import serving

MIB = 1 << 20
SIZE = 60 * MIB
CHUNK = b"0123456789abcdef" * 4096


def chunks() -> Iterator[bytes]:
    for _ in range(SIZE // len(CHUNK)):
        yield CHUNK


@pytest.fixture(scope="module")
def digest() -> str:
    measure = hashlib.sha256()
    for chunk in chunks():
        measure.update(chunk)
    return measure.hexdigest()


@on_linux
@pytest.mark.parametrize("headers", [{"Content-Length": str(SIZE)}, {}], ids=["plain", "chunked"])
def test_a_large_upload_takes_little_memory(tmp_path: Path, digest: str, headers: dict[str, str]) -> None:
    with (
        serving(cwd=tmp_path) as server,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=40) as client,
    ):
        assert client.put("/upload", content=CHUNK).status_code == 200
        idle = resident(server.pid)
        response = client.put("/upload", content=chunks(), headers=headers)
        assert response.json() == {"size": SIZE, "sha256": digest, "content_type": None}
        assert peak(server.pid) - idle < 32 * MIB


@pytest.mark.parametrize("path", ["/upload", "/echo"])
@pytest.mark.parametrize(
    ("framing", "part"),
    [("Content-Length: 1000", "short"), ("Transfer-Encoding: chunked", "5\r\nshort\r\n")],
)
@pytest.mark.parametrize("vanish", [True, False])
def test_an_upload_that_breaks_off_is_never_taken_for_whole(
    address: Address,
    path: str,
    framing: str,
    part: str,
    vanish: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    with Connection(address) as connection:
        connection.send(f"PUT {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{part}".encode())
        if vanish:
            connection.vanish()
        else:
            connection.finish_sending()
            assert connection.is_closed()
    # The log of the server, when it has ended, must not tell of it either.
    assert fetch(address, "/version").status == 200


def test_many_slow_uploads_do_not_stop_others(address: Address) -> None:
    slow = [Connection(address) for _ in range(39)]  # one thread is left
    try:
        for connection in slow:
            connection.send(b"PUT /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\na")
        assert fetch(address, "/version").status == 200
        for connection in slow:
            connection.send(b"b")
        bodies = [connection.receive().body for connection in slow]
        assert all(hashlib.sha256(b"ab").hexdigest().encode() in body for body in bodies)
    finally:
        for connection in slow:
            connection.close()
