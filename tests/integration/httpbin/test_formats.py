# SPDX-License-Identifier: MIT
"""Bodies of every kind: compressed, texts, images, documents, decoded ones."""

import gzip
import zlib
from collections.abc import Callable

import httpx
import pytest

from tests.support.client import Address, fetch


@pytest.mark.parametrize(
    ("path", "coding", "member"),
    [("/gzip", "gzip", "gzipped"), ("/deflate", "deflate", "deflated"), ("/brotli", "br", "brotli")],
)
def test_compressed(client: httpx.Client, path: str, coding: str, member: str) -> None:
    response = client.get(path)
    assert response.headers["content-encoding"] == coding
    assert response.json()[member] is True


@pytest.mark.parametrize(("path", "decompress"), [("/gzip", gzip.decompress), ("/deflate", zlib.decompress)])
def test_compressed_bytes_pass_as_they_are(
    address: Address, path: str, decompress: Callable[[bytes], bytes]
) -> None:
    response = fetch(address, path)
    assert response.head.one("content-length") == str(len(response.body))
    assert decompress(response.body).startswith(b"{")


@pytest.mark.parametrize(
    ("kind", "start"),
    [("png", b"\x89PNG\r\n"), ("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF"), ("svg", b"<svg xmlns=")],
)
def test_an_image(client: httpx.Client, kind: str, start: bytes) -> None:
    response = client.get(f"/image/{kind}")
    media_type = "image/svg+xml" if kind == "svg" else f"image/{kind}"
    assert response.headers["content-type"] == media_type
    assert response.content.startswith(start)
    assert client.get("/image", headers={"Accept": media_type}).content == response.content


def test_an_image_that_there_is_not(client: httpx.Client) -> None:
    response = client.get("/image", headers={"Accept": "image/tiff"})
    assert response.status_code == 406
    assert "image/webp" in response.json()["accept"]


@pytest.mark.parametrize(
    ("path", "media_type", "words"),
    [
        ("/", "text/html; charset=utf-8", "httpbin"),
        ("/html", "text/html; charset=utf-8", "Herman Melville - Moby-Dick"),
        ("/forms/post", "text/html; charset=utf-8", '<form method="post" action="/post">'),
        ("/encoding/utf8", "text/html; charset=utf-8", "∮ E⋅da = Q,  n → ∞, ∑ f(i) = ∏ g(i)"),
        ("/robots.txt", "text/plain", "Disallow: /deny"),
        ("/deny", "text/plain", "YOU SHOULDN'T BE HERE"),
        ("/xml", "application/xml", "<slideshow"),
        ("/json", "application/json", "Wake up to WonderWidgets!"),
    ],
)
def test_a_document(client: httpx.Client, path: str, media_type: str, words: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    assert int(response.headers["content-length"]) == len(response.content)
    assert words in response.text


def test_a_static_file_is_sent_and_revalidated(client: httpx.Client) -> None:
    response = client.get("/static/favicon.ico")
    assert response.status_code == 200
    assert int(response.headers["content-length"]) == len(response.content)
    again = client.get("/static/favicon.ico", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    part = client.get("/static/favicon.ico", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, response.content[10:20])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("SFRUUEJJTiBpcyBhd2Vzb21l", "HTTPBIN is awesome"),
        ("Wm_Dqw==", "Zoë"),
        ("not base64!", "Incorrect Base64 data try: SFRUUEJJTiBpcyBhd2Vzb21l"),
    ],
)
def test_base64(client: httpx.Client, value: str, text: str) -> None:
    assert client.get(f"/base64/{value}").text == text


def test_links(client: httpx.Client) -> None:
    response = client.get("/links/5", follow_redirects=True)
    assert response.url.path == "/links/5/0"
    assert response.text.count("<a href=") == 4
    assert "<a href='/links/5/4'>4</a>" in response.text


def test_uuid(client: httpx.Client) -> None:
    seen = {client.get("/uuid").json()["uuid"] for _ in range(5)}
    assert len(seen) == 5


def test_response_headers(client: httpx.Client) -> None:
    query = {"X-One": "1", "X-Many": ["a", "b"], "Set-Cookie": "c=d", "X-Latin": "Zoë"}
    response = client.get("/response-headers", params=query)
    assert response.headers["x-one"] == "1"
    assert response.headers.get_list("x-many") == ["a", "b"]
    assert response.headers.get_list("set-cookie") == ["c=d"]
    assert (b"x-latin", b"Zo\xeb") in response.headers.raw
    assert response.json()["X-Many"] == ["a", "b"]


def test_hop_by_hop_fields_are_the_servers(client: httpx.Client) -> None:
    # Werkzeug's server sends the field, and with it an answer that says to be chunked and is not.
    response = client.get("/response-headers", params={"Transfer-Encoding": "chunked", "Upgrade": "other"})
    assert response.json()["Transfer-Encoding"] == "chunked"
    assert not {"transfer-encoding", "upgrade"} & set(response.headers)
