# SPDX-License-Identifier: MIT
"""What a client of httpbin meets that the comparison with Werkzeug does not show."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.client import Address, hammer
from tests.support.process import ServerProcess, serving

GET = b"GET /get?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(("connections", "requests"), [(1, 1000), (8, 125), (32, 32)])
async def test_no_request_of_a_thousand_fails(address: Address, connections: int, requests: int) -> None:
    assert await hammer(address, connections, requests, GET) == Counter({200: connections * requests})


def test_answers_go_to_those_who_asked(client: httpx.Client) -> None:
    def ask(who: int) -> list[str]:
        wrong = []
        with httpx.Client(base_url=client.base_url, trust_env=False, timeout=20) as own:
            own.get(f"/cookies/set/who/{who}")
            for number in range(25):
                mark = f"{who}-{number}"
                body = own.post(f"/anything/{mark}", headers={"X-Mark": mark}, content=mark).json()
                seen = {body["url"].rpartition("/")[2], body["headers"]["X-Mark"], body["data"]}
                if seen != {mark} or body["headers"]["Cookie"] != f"who={who}":
                    wrong.append(f"{mark}: {body}")
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert [wrong for found in pool.map(ask, range(8)) for wrong in found] == []


def test_head_does_not_wait_for_a_body(client: httpx.Client) -> None:
    response = client.head("/drip?numbytes=100&duration=60", timeout=10)
    assert (response.status_code, response.headers["content-length"]) == (200, "100")


@pytest.fixture(scope="module")
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose log may be full of failures."""
    with serving(["httpbin:app", "--log-format", "console"], cwd=tmp_path_factory.mktemp("other")) as server:
        yield server


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        # Werkzeug's and other WSGI servers send whatever number they are given. There is no such code,
        # and 1xx would leave the client waiting for the answer (RFC 9110, 15).
        ("/status/600", "status '600 UNKNOWN'"),
        ("/status/99999", "status '99999 UNKNOWN'"),
        ("/status/-1", "status '-1 UNKNOWN'"),
        ("/status/100", "status '100 CONTINUE'"),
        ("/status/199", "status '199 UNKNOWN'"),
        # Two lengths: the client could not tell where the body ends (RFC 9112, 6.3).
        ("/response-headers?Content-Length=3", "response header Content-Length: b'3'"),
        # No field can have this name (RFC 9110, 5.1), nor this value (PEP 3333: latin-1).
        ("/response-headers?a%20b=1", "response header name 'a b' is not a token"),
        ("/response-headers?a=%E2%82%AC", "response header a: '€' has characters outside latin-1"),
    ],
)
def test_what_http_cannot_say_is_an_error_and_is_logged(
    other_server: ServerProcess, path: str, reason: str
) -> None:
    assert httpx.get(f"{other_server.base_url}{path}", trust_env=False).status_code == 500
    other_server.wait_for_log(f"ValueError: {re.escape(reason)}")
    assert httpx.get(f"{other_server.base_url}/get", trust_env=False).status_code == 200


def test_hop_by_hop_fields_are_the_servers(client: httpx.Client) -> None:
    # Werkzeug's server sends the field, and with it an answer that says to be chunked and is not.
    response = client.get("/response-headers", params={"Transfer-Encoding": "chunked", "Upgrade": "other"})
    assert response.json()["Transfer-Encoding"] == "chunked"
    assert not {"transfer-encoding", "upgrade"} & set(response.headers)
