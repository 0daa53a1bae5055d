# SPDX-License-Identifier: MIT
"""Connections that are kept, shared, pipelined, closed; HTTP/1.0; many at once."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.client import Address, Connection, hammer

GET = b"GET /get?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    b"POST /post HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b'Content-Length: 13\r\n\r\n{"a": [1, 2]}'
)


@pytest.mark.parametrize(("connections", "requests"), [(1, 1000), (8, 125), (32, 32)])
async def test_no_request_of_a_thousand_fails(address: Address, connections: int, requests: int) -> None:
    assert await hammer(address, connections, requests, GET) == Counter({200: connections * requests})


def test_a_request_in_single_bytes_is_understood(address: Address) -> None:
    with Connection(address) as connection:
        for byte in POST:
            connection.send(bytes([byte]))
        assert json.loads(connection.receive().body)["json"] == {"a": [1, 2]}


def test_a_connection_is_closed_where_the_client_says_so(address: Address) -> None:
    with Connection(address) as connection:
        response = connection.request("GET", "/get", [("Connection", "close")])
        assert response.head.one("connection") == "close"
        assert connection.is_closed()


@pytest.mark.parametrize("host", ["", "Host: elsewhere.example:8080\r\n"])
def test_http_1_0(address: Address, host: str) -> None:
    with Connection(address) as connection:
        connection.send(f"GET /get HTTP/1.0\r\n{host}\r\n".encode())
        response = connection.receive()
        assert response.status == 200
        where = "elsewhere.example:8080" if host else f"127.0.0.1:{address[1]}"
        assert json.loads(response.body)["url"] == f"http://{where}/get"
        assert connection.is_closed()


def test_a_stream_for_http_1_0_ends_with_the_connection(address: Address) -> None:
    with Connection(address) as connection:
        connection.send(b"GET /stream-bytes/3000?seed=1&chunk_size=999 HTTP/1.0\r\n\r\n")
        response = connection.receive()
    assert response.head.one("transfer-encoding") is None
    assert len(response.body) == 3000


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


def test_head_leaves_the_connection_usable(address: Address) -> None:
    with Connection(address) as connection:
        for path in ("/", "/drip?numbytes=5&duration=0", "/gzip", "/status/304", "/stream/5", "/nowhere"):
            head = connection.request("HEAD", path).head
            assert head.status == connection.request("GET", path).status, path


def test_head_does_not_wait_for_a_body(client: httpx.Client) -> None:
    response = client.head("/drip?numbytes=100&duration=60", timeout=10)
    assert (response.status_code, response.headers["content-length"]) == (200, "100")
