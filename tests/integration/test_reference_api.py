# SPDX-License-Identifier: MIT
"""The reference API, as ``ashapp serve`` serves it; what each endpoint answers is in ``tests/api``."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.client import Address, Connection, fetch, hammer
from tests.support.process import ServerProcess, serving
from tests.support.reference_api import status_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose log must tell of nothing but its start and its end."""
    folder = tmp_path_factory.mktemp("reference")
    with serving(cwd=folder, env={"ASHAPP_COMMIT": "0123abc"}) as server:
        yield server
        assert server.stop() == 0
        assert "ERROR" not in server.stderr
        assert "WARNING" not in server.stderr
        assert "Traceback" not in server.stderr


def test_the_card_leads_to_every_endpoint(client: httpx.Client) -> None:
    for endpoint in client.get("/").json()["endpoints"]:
        method = endpoint["methods"][0]
        response = client.request(method, endpoint["example"])
        assert response.status_code == status_of(method, endpoint["path"])
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "server" not in response.headers
    assert client.get("/version").json()["commit"] == "0123abc"


def test_every_status_is_answered_on_one_connection(address: Address) -> None:
    with Connection(address) as connection:
        for code in range(200, 600):
            response = connection.request("POST", f"/status/{code}")
            assert response.status == code
            assert bool(response.body) is (code not in {204, 205, 304})
            assert (response.head.one("content-length") is None) is (code in {204, 304})


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
