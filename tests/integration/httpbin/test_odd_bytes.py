# SPDX-License-Identifier: MIT
"""Targets and messages that Werkzeug's server takes otherwise, or not at all."""

import json

import pytest

from tests.support.client import Address, Connection, fetch


def test_an_asterisk_is_no_route(address: Address) -> None:
    assert fetch(address, "*").status == 404


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
