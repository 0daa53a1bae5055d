# SPDX-License-Identifier: MIT
"""The same requests to httpbin under Werkzeug's own server and under this one have the same answers.

The exceptions are in the other tests of this folder, each with its reason.
"""

import sys
from collections.abc import Iterator

import pytest

from tests.support.client import Address, fetch
from tests.support.process import serving

# Of the server, or different in each answer.
OWN = {"server", "date", "connection", "transfer-encoding", "x-request-id"}

FORM = [("Content-Type", "application/x-www-form-urlencoded")]
MULTIPART = [("Content-Type", "multipart/form-data; boundary=xyz")]
PARTS = (
    b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="\xc3\xa9.bin"\r\n\r\n\x00\xff\r\n'
    b"--xyz--\r\n"
)
RANGE = [("Range", "bytes=5-9")]
BASIC = [("Authorization", "Basic dXNlcjpzZWNyZXQ=")]

Request = tuple[str, str, list[tuple[str, str]], bytes | None]

REQUESTS: list[Request] = [
    *(
        ("GET", target, [], None)
        for target in (
            "/",
            "/get?a=1&a=2&b=%C3%A9",
            "/anything/a%2Fb?c=%2F",
            "/anything/%ff%00?%ff=%00",
            "/anything/%zz?%zz",
            "//anything//a",
            "/anything/a///b/",
            "/%2Fget",
            "/anything/a%252Fb%0D%0A",
            "/anything/../x",
            "/nowhere",
            "/post",
            "/status/204",
            "/status/205",
            "/status/304",
            "/status/418",
            "/status/teapot",
            "/redirect/3",
            "/redirect/3?absolute=true",
            "/redirect-to?url=http%3A%2F%2Fx%2F%C3%A9&status_code=307",
            "/redirect-to",
            "/redirect/0",
            "/cookies/set?a=1&b=%C3%A9",
            "/cookies/delete?a",
            "/bytes/100?seed=3",
            "/stream-bytes/1000?seed=3&chunk_size=10",
            "/stream/3",
            "/range/100",
            "/drip?numbytes=3&duration=0&code=203",
            "/response-headers?A=1&A=2&B=%C3%A9",
            "/response-headers?a=%0A",
            "/base64/Wm_Dqw==",
            "/links/3",
            "/links/3/1",
            "/image",
            "/encoding/utf8",
            "/static/favicon.ico",
        )
    ),
    *(("HEAD", target, [], None) for target in ("/get", "/stream/3", "/status/204", "/image/png", "/post")),
    *(("OPTIONS", target, [], None) for target in ("/get", "/post", "/status/204")),
    ("GET", "/range/100", RANGE, None),
    ("GET", "/static/favicon.ico", RANGE, None),
    ("GET", "/etag/x", [("If-None-Match", '"x"')], None),
    ("GET", "/cache", [("If-None-Match", "x")], None),
    ("GET", "/basic-auth/user/secret", BASIC, None),
    ("GET", "/cookies", [("Cookie", 'a=1; b="two; 2"; c')], None),
    ("GET", "/headers", [("X_User", "forged"), ("X-User", "r\xe9al"), ("x-dash-Case", " v ")], None),
    ("GET", "/get?show_env", [("X-Request-Id", "7"), ("Via", "1.1 x")], None),
    ("GET", "/post", [], b"unexpected"),
    ("DELETE", "/delete", [], b"\xff\x00"),
    ("POST", "/post", [], b""),
    ("POST", "/post", FORM, b"a=1&a=2&b=%C3%A9&c=%ff"),
    ("POST", "/post", MULTIPART, PARTS),
    ("POST", "/post", MULTIPART, PARTS[:40]),
    ("PUT", "/put", [("Content-Type", "application/json")], b'{"a": "\xc3\xa9"}'),
    ("PATCH", "/patch", [("Content-Type", "application/json")], b"{"),
    ("POST", "/get", [], b"x" * 1000),
]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    command = [sys.executable, "-m", "flask", "--app", "httpbin"]
    with serving(["run"], command=command, cwd=tmp_path_factory.mktemp("werkzeug")) as server:
        yield server.address


def answer(address: Address, request: Request) -> tuple[int, list[tuple[str, str]], bytes]:
    method, target, fields, body = request
    response = fetch(address, target, method, fields, body)
    kept = [(name, ordered(name, value)) for name, value in response.head.fields if name not in OWN]
    return response.status, sorted(kept), response.body


def ordered(name: str, value: str) -> str:
    """Return the value, the methods in Allow sorted: Werkzeug makes them from a set."""
    return ", ".join(sorted(value.split(", "))) if name == "allow" else value


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: f"{request[0]} {request[1]}")
def test_the_same_request_has_the_same_answer(address: Address, other: Address, request_: Request) -> None:
    assert answer(address, request_) == answer(other, request_)
