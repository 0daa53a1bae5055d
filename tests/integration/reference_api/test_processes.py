# SPDX-License-Identifier: MIT
"""Two workers."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.client import fetch, hammer
from tests.support.process import serving

GET = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"


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
