# SPDX-License-Identifier: MIT
"""The reference API, as ``ashapp serve`` serves it; what each endpoint answers is in ``tests/api``."""

import hashlib
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


EVERY_BYTE = bytes(range(256))


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


@pytest.mark.parametrize("content", [b"", b"x", EVERY_BYTE * 5000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_arrives_as_it_was_sent(client: httpx.Client, content: bytes, *, chunked: bool) -> None:
    sent = iter([content[:100], content[100:]]) if chunked else content
    response = client.put("/upload", content=sent, headers={"Content-Type": "a/b"})
    digest = hashlib.sha256(content).hexdigest()
    assert response.json() == {"size": len(content), "sha256": digest, "content_type": "a/b"}


@pytest.mark.parametrize("path", ["/upload", "/echo"])
@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(
    address: Address, path: str, expect: str
) -> None:
    with Connection(address) as connection:
        connection.send(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 << 30}\r\n{expect}\r\n".encode()
        )
        # The first answer: no "100 Continue" before it.
        response = connection.receive()
        assert response.status == 413
        assert response.head.one("content-type") == "application/problem+json"


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
