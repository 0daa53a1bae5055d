# SPDX-License-Identifier: MIT
"""HEAD and OPTIONS: as GET would answer, without the body; what is allowed."""

import httpx
import pytest

from tests.support.client import Address, Connection

PATHS = [
    "/",
    "/base64/Wm_Dqw==",
    "/bytes/100?seed=1",
    "/cache/60",
    "/cookies",
    "/delay/0",
    "/drip?numbytes=5&duration=0",
    "/encoding/utf8",
    "/etag/x",
    "/get?a=b",
    "/headers",
    "/html",
    "/image/png",
    "/json",
    "/links/3/0",
    "/range/1024",
    "/redirect/1",
    "/static/favicon.ico",
    "/status/200",
    "/status/204",
    "/status/304",
    "/status/404",
    "/status/418",
    "/stream/5",
    "/stream-bytes/100?seed=1",
    "/xml",
    "/nowhere",
]


def test_head_has_no_body_and_leaves_the_connection_usable(address: Address) -> None:
    with Connection(address) as connection:
        for path in PATHS:
            head = connection.request("HEAD", path).head
            got = connection.request("GET", path).head
            assert head.status == got.status, path
            for name in ("content-length", "content-type", "content-range", "etag", "location"):
                assert head.one(name) == got.one(name), path


def test_head_is_told_from_get(address: Address) -> None:
    with Connection(address) as connection:
        for path in ("/anything", "/gzip", "/deflate", "/brotli"):
            # The answer would name the method.
            length = connection.request("HEAD", path).head.one("content-length")
            assert (length or "").isdigit()
            assert connection.request("GET", path).status == 200


def test_head_does_not_wait_for_a_body(client: httpx.Client) -> None:
    response = client.head("/drip?numbytes=100&duration=60", timeout=10)
    assert (response.status_code, response.headers["content-length"]) == (200, "100")


@pytest.mark.parametrize("path", ["/post", "/put", "/cookies/nowhere"])
def test_head_where_get_is_not(client: httpx.Client, path: str) -> None:
    response = client.head(path)
    assert response.status_code in {404, 405}
    assert response.content == b""


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/get", {"GET", "HEAD", "OPTIONS"}),
        ("/post", {"POST", "OPTIONS"}),
        ("/anything", {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"}),
    ],
)
def test_options_tells_what_is_allowed(client: httpx.Client, path: str, methods: set[str]) -> None:
    response = client.options(path)
    assert (response.status_code, response.content) == (200, b"")
    assert set(response.headers["allow"].split(", ")) == methods
    assert response.headers["access-control-max-age"] == "3600"


def test_a_preflight_is_answered(client: httpx.Client) -> None:
    fields = {"Origin": "https://example.org", "Access-Control-Request-Headers": "X-A, X-B"}
    response = client.options("/put", headers={**fields, "Access-Control-Request-Method": "PUT"})
    assert response.headers["access-control-allow-origin"] == "https://example.org"
    assert response.headers["access-control-allow-headers"] == "X-A, X-B"
    assert "PUT" in response.headers["access-control-allow-methods"]
