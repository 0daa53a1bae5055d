# SPDX-License-Identifier: MIT
"""Workers, and how they end."""

import hashlib
import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.client import Connection, fetch, hammer
from tests.support.process import serving

HEAD = b"PUT /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
GET = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_answered_before_the_end(tmp_path: Path, workers: str, signum: int) -> None:
    with serving(["--workers", workers], cwd=tmp_path) as server, Connection(server.address) as connection:
        connection.send(HEAD)
        # The view reads: the request is in flight.
        assert connection.receive_head().status == 100
        os.kill(server.pid, signum)
        server.wait_for_log("Shutting down")
        connection.send(b"hello")
        response = connection.receive()
        assert response.status == 200
        assert hashlib.sha256(b"hello").hexdigest().encode() in response.body
        assert server.process.wait(15) == 0
        assert "Traceback" not in server.stderr


async def test_two_workers_share_the_work(tmp_path: Path) -> None:
    with serving(["--workers", "2", "--stall-timeout", "60"], cwd=tmp_path) as server:
        server.wait_for_log(r"(?s)(startup complete.*){2}")
        workers = [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", server.stderr)]
        assert len(set(workers)) == 2
        for stopped in workers:
            # The other one answers alone.
            os.kill(stopped, signal.SIGSTOP)
            try:
                assert fetch(server.address, "/version").status == 200
                assert fetch(server.address, "/readyz").status == 200
            finally:
                os.kill(stopped, signal.SIGCONT)
        assert await hammer(server.address, 16, 50, GET) == {200: 800}
        assert server.stop() == 0
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
