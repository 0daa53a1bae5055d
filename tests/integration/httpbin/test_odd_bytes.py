# SPDX-License-Identifier: MIT
"""Paths, queries and hosts that few clients send."""

import json
from typing import Any

import pytest

from tests.support.client import Address, Connection, fetch


def echoed(address: Address, target: str) -> dict[str, Any]:
    response = fetch(address, target)
    assert response.status == 200, response.body
    body: dict[str, Any] = json.loads(response.body)
    return body


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("a%2Fb", "a/b"),
        ("a%2fb%2F", "a/b/"),
        ("a%00b", "a%00b"),
        ("%C3%A9/%E2%82%AC/%F0%9F%98%80", "é/€/😀"),
        # Bytes that are no UTF-8: Werkzeug shows them as U+FFFD.
        ("%ff%fe", "\ufffd\ufffd"),
        ("caf%E9", "caf\ufffd"),
        ("%zz%", "%zz%"),
        ("..%2f..%2fget", "../../get"),
        ("../get", "../get"),
        ("./a", "./a"),
        ("a;b=c,d=e", "a;b=c,d=e"),
        ("a+b", "a+b"),
        ("a%20b%09", "a%20b%09"),
        ("a%3Fb%23c", "a%3Fb%23c"),
        ('{a}|b^`"<>\\', '{a}|b^`"<>\\'),
        # A quoted percent sign: Werkzeug leaves it unquoted.
        ("a%252Fb", "a%2Fb"),
        ("p" * 8000, "p" * 8000),
    ],
)
def test_a_path_passes(address: Address, path: str, seen: str) -> None:
    assert echoed(address, f"/anything/{path}")["url"] == f"http://localhost/anything/{seen}"


@pytest.mark.parametrize(
    ("query", "args"),
    [
        ("", {}),
        ("a", {"a": ""}),
        ("a=1&a=2&b=", {"a": ["1", "2"], "b": ""}),
        ("a=%00&b=%0D%0A", {"a": "\0", "b": "\r\n"}),
        ("%C3%A9=%E2%82%AC", {"é": "€"}),
        ("a=%ff", {"a": "%FF"}),
        ("a+b=c%20d%2Be", {"a b": "c d+e"}),
        ("%zz=%", {"%zz": "%"}),
        ("a=b=c?d/e", {"a": "b=c?d/e"}),
        ("a;b&&=&c", {"a;b": "", "": "", "c": ""}),
        ("q=" + "v" * 12_000, {"q": "v" * 12_000}),
        ("&".join(f"k{n}=v" for n in range(900)), {f"k{n}": "v" for n in range(900)}),
    ],
)
def test_a_query_passes(address: Address, query: str, args: dict[str, str]) -> None:
    assert echoed(address, f"/anything?{query}")["args"] == args


def test_slashes_are_left_to_the_application(address: Address) -> None:
    # Werkzeug merges them where that makes a route, but not in what a path converter takes.
    assert echoed(address, "/anything/a///b/")["url"] == "http://localhost/anything/a///b/"
    response = fetch(address, "//anything//a")
    assert (response.status, response.head.one("location")) == (308, "http://localhost/anything/a")


@pytest.mark.parametrize(
    "target", ["/ANYTHING", "/anything/", "/get/", "*", "/get%2F", "/anything/a%0D%0AX-Forged:%20yes"]
)
def test_what_is_no_route_is_not_found(address: Address, target: str) -> None:
    assert fetch(address, target).status == 404


def test_a_full_address_is_a_path(address: Address) -> None:
    body = echoed(address, "http://localhost/anything/x?y=z")
    assert (body["url"], body["args"]) == ("http://localhost/anything/x?y=z", {"y": "z"})


def test_a_fragment_is_no_part_of_the_query(address: Address) -> None:
    assert echoed(address, "/anything?a=1#b")["args"] == {"a": "1"}


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
