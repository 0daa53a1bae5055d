# SPDX-License-Identifier: MIT
"""Rules 5 and 8: the memory of a server does not grow with what it takes in or gives out."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.applications.bulk import BLOCK
from tests.support.client import Connection, chunk
from tests.support.process import serving

ROOT = Path(__file__).parents[3]
SIZE = 60 << 20
ALLOWED = 32 << 20

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")


class Server:
    """A process that serves ``tests.support.applications.bulk``, with its memory."""

    def __init__(self, pid: int, port: int) -> None:
        self.address = ("127.0.0.1", port)
        self._directory = Path(f"/proc/{pid}")

    def begin(self) -> int:
        """Forget the peak so far; return the resident size in bytes."""
        (self._directory / "clear_refs").write_text("5")
        return self._status("VmRSS")

    def peak(self) -> int:
        """Return the largest resident size since ``begin``, in bytes."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        lines = (self._directory / "status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


@pytest.fixture(scope="module", params=[("httptools", "uvloop"), ("h11", "asyncio")], ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    http, loop = request.param
    args = ["tests.support.applications.bulk:app", "--app-dir", str(ROOT), "--http", http, "--loop", loop]
    with serving(args, command=[sys.executable, "-m", "uvicorn"]) as process:
        found = Server(process.pid, int(process.base_url.rpartition(":")[2]))
        for target in ("/sync", "/async"):
            with Connection(found.address) as connection:
                assert connection.request("POST", target, body=BLOCK).body == b"65536"
        yield found


@pytest.mark.parametrize("target", ["/sync", "/async"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_to_a_slow_reader(server: Server, target: str, framing: str) -> None:
    """Rule 5: 60 MiB."""
    idle = server.begin()
    with Connection(server.address, timeout=30) as connection:
        if framing == "length":
            connection.send_request("POST", target, [("Content-Length", str(SIZE))])
        else:
            connection.send_request("POST", target, [("Transfer-Encoding", "chunked")])
        piece = BLOCK if framing == "length" else chunk(BLOCK)
        for _ in range(SIZE // len(BLOCK)):
            connection.send(piece)
        if framing == "chunked":
            connection.send(chunk())
        assert connection.receive().body == str(SIZE).encode()
    assert server.peak() - idle < ALLOWED


@pytest.mark.parametrize("target", ["/sync", "/async"])
def test_an_endless_download_to_a_slow_reader(server: Server, target: str) -> None:
    """Rule 8."""
    idle = server.begin()
    with Connection(server.address, receive_buffer=65536) as connection:
        connection.send_request("GET", target)
        connection.receive_head()
        for _ in range(40):
            assert len(connection.receive_bytes(16384)) == 16384
            time.sleep(0.01)
    assert server.peak() - idle < ALLOWED


def test_an_unread_upload_during_an_endless_download(server: Server) -> None:
    """Rules 5 and 8, at once: nobody reads, on either side."""
    idle = server.begin()
    with Connection(server.address, receive_buffer=65536) as connection:
        connection.send_request("GET", "/sync", [("Content-Length", str(SIZE))])
        assert connection.send_until_held(SIZE) < SIZE
    assert server.peak() - idle < ALLOWED
