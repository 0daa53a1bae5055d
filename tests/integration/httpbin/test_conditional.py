# SPDX-License-Identifier: MIT
"""Conditional and partial requests."""

import string

import httpx
import pytest

ALPHABET = (string.ascii_lowercase * 40)[:1024].encode()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 200),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": '"this"'}, 304),
        ({"If-None-Match": 'W/"other", "this"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-Match": '"this"'}, 200),
        ({"If-Match": '"other"'}, 412),
    ],
)
def test_etag(client: httpx.Client, fields: dict[str, str], code: int) -> None:
    response = client.get("/etag/this", headers=fields)
    assert response.status_code == code
    assert response.headers.get("etag") == (None if code == 412 else "this")
    assert bool(response.content) is (code == 200)


@pytest.mark.parametrize(
    "fields", [{"If-None-Match": "x"}, {"If-Modified-Since": "Mon, 02 Jan 2023 00:00:00 GMT"}]
)
def test_cache(client: httpx.Client, fields: dict[str, str]) -> None:
    first = client.get("/cache")
    assert first.status_code == 200
    assert {"etag", "last-modified"} <= set(first.headers)
    again = client.get("/cache", headers=fields)
    assert (again.status_code, again.content) == (304, b"")


def test_cache_control(client: httpx.Client) -> None:
    assert client.get("/cache/60").headers["cache-control"] == "public, max-age=60"


@pytest.mark.parametrize(
    ("wanted", "code", "told", "content"),
    [
        (None, 200, "bytes 0-1023/1024", ALPHABET),
        ("bytes=0-", 200, "bytes 0-1023/1024", ALPHABET),
        ("bytes=0-0", 206, "bytes 0-0/1024", b"a"),
        ("bytes=100-199", 206, "bytes 100-199/1024", ALPHABET[100:200]),
        ("bytes=1000-", 206, "bytes 1000-1023/1024", ALPHABET[1000:]),
        ("bytes=-10", 206, "bytes 1014-1023/1024", ALPHABET[-10:]),
        ("bytes=1024-", 416, "bytes */1024", b""),
        ("bytes=5-2000", 416, "bytes */1024", b""),
    ],
)
@pytest.mark.parametrize("query", ["", "?chunk_size=7"])
def test_range(
    client: httpx.Client, wanted: str | None, code: int, told: str, content: bytes, query: str
) -> None:
    response = client.get(f"/range/1024{query}", headers={"Range": wanted} if wanted else {})
    assert response.status_code == code
    assert response.headers["content-range"] == told
    assert response.headers["content-length"] == str(len(content))
    assert response.content == content


def test_a_range_that_httpbin_does_not_have(client: httpx.Client) -> None:
    assert client.get("/range/0").status_code == 404
    assert client.get("/range/200000").status_code == 404
