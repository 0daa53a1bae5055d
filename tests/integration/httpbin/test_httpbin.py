# SPDX-License-Identifier: MIT
"""What a client of httpbin meets that the comparison with Werkzeug does not show."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.client import Address, Connection, fetch, hammer
from tests.support.process import ServerProcess, serving

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


def test_head_does_not_wait_for_a_body(client: httpx.Client) -> None:
    response = client.head("/drip?numbytes=100&duration=60", timeout=10)
    assert (response.status_code, response.headers["content-length"]) == (200, "100")


def test_pieces_of_a_stream_are_whole_lines_of_its_chunks(address: Address) -> None:
    with Connection(address) as connection:
        connection.send_request("GET", "/stream/20")
        connection.receive_head()
        # Those that wait for each other go out together.
        lines = [line for chunk in connection.receive_chunks() for line in chunk.splitlines()]
        assert [json.loads(line)["id"] for line in lines] == list(range(20))
        assert connection.request("GET", "/get").status == 200


def test_pieces_arrive_while_the_rest_is_made(client: httpx.Client) -> None:
    # httpbin sleeps for a second after each of the four bytes: the last comes after three seconds.
    began = time.monotonic()
    with client.stream("GET", "/drip?numbytes=4&duration=4&code=201") as response:
        assert (response.status_code, response.headers["content-length"]) == (201, "4")
        pieces = response.iter_raw()
        first = next(pieces)
        first_at = time.monotonic() - began
        rest = b"".join(pieces)
        last_at = time.monotonic() - began
    assert (first + rest, first_at < 3, last_at >= 3) == (b"****", True, True)


def test_one_of_several_codes_is_answered(client: httpx.Client) -> None:
    assert {client.get("/status/200,201,202").status_code for _ in range(20)} <= {200, 201, 202}
    assert {client.get("/status/500:0,201:1").status_code for _ in range(10)} == {201}


def test_an_error_of_httpbin_is_an_error_of_the_server_and_no_more(client: httpx.Client) -> None:
    # httpbin asserts that there is something to redirect, and takes any text for a number.
    for path in ("/redirect/0", "/delay/never"):
        response = client.get(path)
        assert response.status_code == 500
        assert "Internal Server Error" in response.text
    assert client.get("/get").status_code == 200


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


def test_a_full_address_is_a_path(address: Address) -> None:
    body = json.loads(fetch(address, "http://localhost/anything/x?y=z").body)
    assert (body["url"], body["args"]) == ("http://localhost/anything/x?y=z", {"y": "z"})


@pytest.mark.parametrize(
    "target", ["/anything/caf\xe9", "/anything?a=\xff", "/anything/a b", "/anything/\x7f\0"]
)
def test_a_target_that_is_none_is_refused_by_the_parser(address: Address, target: str) -> None:
    # RFC 9112, 3: a request target holds no white space, control or other unquoted 8-bit character.
    response = fetch(address, target)
    assert response.status == 400
    assert fetch(address, "/get").status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /get HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /get HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /get HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\tfolded\rX-B: c\r\n\r\n",
    ],
)
def test_a_message_that_is_none_is_refused(address: Address, request_bytes: bytes) -> None:
    with Connection(address) as connection:
        connection.send(request_bytes)
        assert connection.receive().status == 400
    assert fetch(address, "/get").status == 200
