# SPDX-License-Identifier: MIT
"""The same requests to httpbin under Werkzeug's own server and under this one have the same answers.

The exceptions are in the other tests of this folder, each with its reason.
"""

import hashlib
import sys
from collections.abc import Iterator

import pytest

from tests.support.client import Address, fetch
from tests.support.process import serving

# Of the server, or different in each answer.
OWN = {"server", "date", "connection", "transfer-encoding", "x-request-id"}

FORM = [("Content-Type", "application/x-www-form-urlencoded")]
JSON = [("Content-Type", "application/json")]
MULTIPART = [("Content-Type", "multipart/form-data; boundary=xyz")]
PARTS = (
    b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="\xc3\xa9.bin"\r\n\r\n\x00\xff\r\n'
    b"--xyz--\r\n"
)
# Werkzeug writes a file of this size to the disk, on the thread of the request.
LARGE_PARTS = PARTS.replace(b"\x00\xff", hashlib.shake_256(b"large").digest(3 << 20))
RANGES = ["0-", "0-0", "100-199", "1000-", "-10", "1024-", "5-2000"]
METHODS = ["POST", "PUT", "PATCH", "DELETE"]

Fields = list[tuple[str, str]]
Request = tuple[str, str, Fields, bytes | None]

TARGETS = """
/ /html /forms/post /encoding/utf8 /robots.txt /deny /xml /json /gzip /deflate /brotli
/image /image/png /image/jpeg /image/webp /image/svg /static/favicon.ico
/base64/SFRUUEJJTiBpcyBhd2Vzb21l /base64/Wm_Dqw== /base64/not%20base64! /links/3 /links/3/1 /links/5/0
/get /get?a=1&a=2&b=%C3%A9 /get?a=b=c?d/e /get?a;b&&=&c /get?a+b=c%20d%2Be /get?a=%00&b=%0D%0A /get?a=%ff
/get?%C3%A9=%E2%82%AC /get?%zz=% /get? /get?a /anything?a=1
/anything/a%2Fb?c=%2F /anything/a%2fb%2F /anything/%ff%00?%ff=%00 /anything/%zz?%zz /anything/a///b/
/anything/a%252Fb%0D%0A /anything/../x /anything/./a /anything/..%2f..%2fget /anything/a;b=c,d=e /anything/a+b
/anything/%C3%A9/%E2%82%AC/%F0%9F%98%80 /anything/caf%E9 /anything/a%20b%09 /anything/a%3Fb%23c
/anything/{a}|b^`"<>\\ //anything//a /%2Fget
/ANYTHING /anything/ /get/ /get%2F /anything/a%0D%0AX-Forged:%20yes /nowhere /post
/status/200 /status/204 /status/205 /status/301 /status/304 /status/307 /status/401 /status/406 /status/407
/status/418 /status/500 /status/503 /status/teapot /status/500:0,201:1
/redirect/3 /redirect/3?absolute=true /relative-redirect/3 /absolute-redirect/3 /redirect/0 /redirect-to
/redirect-to?url=http%3A%2F%2Fx%2F%C3%A9&status_code=307 /redirect-to?url=/%0D%0AX-Forged:%20yes
/cookies /cookies/set?a=1&b=%C3%A9 /cookies/set/a/2 /cookies/delete?a
/bytes/0?seed=7 /bytes/102400?seed=7 /stream-bytes/102400?seed=7&chunk_size=333 /stream/0 /stream/3
/drip?numbytes=3&duration=0&code=203 /drip?numbytes=5&duration=0&code=204 /drip?numbytes=0 /delay/0 /delay/x
/range/100 /range/0 /range/200000 /cache/60 /etag/this
/response-headers?A=1&A=2&B=%C3%A9 /response-headers?a=%0A /response-headers?Set-Cookie=c=d
/basic-auth/user/secret /hidden-basic-auth/user/secret /bearer /user-agent /ip
"""

FIELDS: list[tuple[str, Fields]] = [
    *(("/range/1024?chunk_size=7", [("Range", f"bytes={wanted}")]) for wanted in RANGES),
    ("/static/favicon.ico", [("Range", "bytes=10-19")]),
    *(("/etag/this", [("If-None-Match", tag)]) for tag in ('"this"', '"other"', 'W/"other", "this"', "*")),
    *(("/etag/this", [("If-Match", tag)]) for tag in ('"this"', '"other"')),
    ("/cache", [("If-None-Match", "x")]),
    ("/cache", [("If-Modified-Since", "Mon, 02 Jan 2023 00:00:00 GMT")]),
    ("/image", [("Accept", "image/svg+xml")]),
    ("/image", [("Accept", "image/tiff")]),
    *((f"/{kind}/user/secret", [("Authorization", "Basic dXNlcjpzZWNyZXQ=")]) for kind in ("basic-auth",)),
    ("/basic-auth/user/secret", [("Authorization", "Basic dXNlcjp3cm9uZw==")]),
    ("/hidden-basic-auth/user/secret", [("Authorization", "Basic dXNlcjpzZWNyZXQ=")]),
    ("/bearer", [("Authorization", "Bearer a.b-c")]),
    ("/cookies", [("Cookie", 'a=1; b="two; 2"; c')]),
    ("/headers", [("X_User", "forged"), ("X-User", "r\xe9al \xff"), ("x-dash-Case", " v"), ("X-Empty", "")]),
    ("/headers", [("X-Odd", "a\tb;c=\"d\", 'e' \\"), ("X-Long", "v" * 16_000)]),
    ("/get?show_env", [("X-Request-Id", "7"), ("Via", "1.1 x"), ("X-Forwarded-For", "192.0.2.1")]),
    ("/get?q=" + "v" * 12_000, []),
    ("/get?" + "&".join(f"k{n}=v" for n in range(900)), []),
    ("/anything/" + "p" * 8000, []),
]

REQUESTS: list[Request] = [
    *(("GET", target, [], None) for target in TARGETS.split()),
    *(("GET", target, fields, None) for target, fields in FIELDS),
    *(("HEAD", target, [], None) for target in TARGETS.split() if not target.startswith("/delay/x")),
    *(("OPTIONS", target, [], None) for target in ("/get", "/post", "/anything", "/status/204")),
    ("OPTIONS", "/put", [("Origin", "https://a"), ("Access-Control-Request-Headers", "X-A, X-B")], None),
    ("TRACE", "/anything", [], None),
    *(("POST", f"/redirect-to?url=/x&status_code={code}", [], b"x") for code in (301, 302, 303, 307, 308)),
    *(
        (method, target, fields, body)
        for method in METHODS
        for target in (f"/{method.lower()}", "/anything/else?x=y", "/status/418", "/delay/0")
        for fields, body in (
            (FORM, b"a=1&a=2&b=%C3%A9&c=%ff"),
            (JSON, b'{"a": "\xc3\xa9", "b": [1, null]}'),
            ([], bytes(range(256))),
            ([], b""),
            ([], None),
        )
    ),
    ("GET", "/post", [], b"unexpected"),
    ("POST", "/post", MULTIPART, PARTS),
    ("POST", "/post", MULTIPART, PARTS[:40]),
    ("POST", "/post", MULTIPART, LARGE_PARTS),
    ("POST", "/post", [("Content-Type", "text/plain")], b"0123456789abcdef" * (2 << 16)),
    ("PATCH", "/patch", JSON, b"{"),
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


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: f"{request[0]} {request[1][:50]}")
def test_the_same_request_has_the_same_answer(address: Address, other: Address, request_: Request) -> None:
    assert answer(address, request_) == answer(other, request_)
