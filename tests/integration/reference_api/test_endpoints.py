# SPDX-License-Identifier: MIT
"""Every endpoint, as a user calls it."""

import asyncio
import base64
import hashlib
import json
import platform
import time
from importlib import metadata

import httpx
import pytest

from tests.support.client import Address, Connection, fetch
from tests.support.process import ServerProcess

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
EVERY_BYTE = bytes(range(256))


def test_the_card_leads_to_every_endpoint(client: httpx.Client) -> None:
    card = client.get("/").json()
    assert (card["name"], card["version"]) == ("ashapp-backend", metadata.version("ashapp-backend"))
    assert card["python"] == platform.python_version()
    paths = {endpoint["path"] for endpoint in card["endpoints"]}
    assert paths == {
        "/",
        "/version",
        "/echo",
        "/headers",
        "/status/{code}",
        "/delay/{seconds}",
        "/upload",
    }
    for endpoint in card["endpoints"]:
        assert endpoint["summary"]
        status = 418 if endpoint["path"] == "/status/{code}" else 200
        assert client.request(endpoint["methods"][0], endpoint["example"]).status_code == status


def test_the_card_is_a_page_for_a_browser(client: httpx.Client) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    response = client.get("/", headers={"Accept": accept})
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "/delay/{seconds}" in response.text
    assert "style-src 'sha256-" in response.headers["content-security-policy"]
    assert response.headers["vary"] == "Accept"


def test_version(client: httpx.Client) -> None:
    assert client.get("/version").json() == {
        "name": "ashapp-backend",
        "version": metadata.version("ashapp-backend"),
        "commit": "0123abc",
        "python": platform.python_version(),
        "flask": metadata.version("flask"),
        "werkzeug": metadata.version("werkzeug"),
    }


@pytest.mark.parametrize("method", METHODS)
def test_echo_shows_the_request(client: httpx.Client, method: str) -> None:
    response = client.request(method, "/echo?a=1&a=2&b=%C3%A9", json={"x": ["ü", 1.5]}, headers={"X-A": "b"})
    body = response.json()
    assert (body["method"], body["path"], body["args"]) == (method, "/echo", {"a": ["1", "2"], "b": ["é"]})
    assert (body["json"], body["encoding"], body["headers"]["X-A"]) == ({"x": ["ü", 1.5]}, "utf-8", "b")


def test_echo_of_a_form_with_files(client: httpx.Client) -> None:
    files = {"file": ("é.bin", EVERY_BYTE, "image/x-thing")}
    body = client.post("/echo", data={"title": "Zoë", "tag": ["a", "b"]}, files=files).json()
    assert body["form"] == {"title": ["Zoë"], "tag": ["a", "b"]}
    assert body["files"] == {"file": [{"filename": "é.bin", "content_type": "image/x-thing", "size": 256}]}


def test_echo_of_raw_bytes(client: httpx.Client) -> None:
    body = client.post("/echo", content=EVERY_BYTE).json()
    assert (base64.b64decode(body["data"]), body["encoding"]) == (EVERY_BYTE, "base64")


def test_echo_of_a_chunked_body(client: httpx.Client) -> None:
    body = client.post("/echo", content=iter([b'{"a"', b": ", b"1}"])).json()
    assert (body["data"], body["headers"]["Transfer-Encoding"]) == ('{"a": 1}', "chunked")


def test_headers(address: Address) -> None:
    fields = [("X-Tag", "one"), ("X_Tag", "forged"), ("X-Tag", "two"), ("Cookie", "a=1"), ("Cookie", "b=2")]
    response = fetch(address, "/headers", fields=fields)
    seen = {"Host": "localhost", "X-Tag": "one, two", "Cookie": "a=1; b=2"}
    assert json.loads(response.body) == {"headers": seen}


@pytest.mark.parametrize("method", METHODS)
def test_every_status_is_answered_on_one_connection(address: Address, method: str) -> None:
    with Connection(address) as connection:
        for code in range(200, 600):
            response = connection.request(method, f"/status/{code}")
            assert response.status == code
            assert bool(response.body) is (code not in {204, 205, 304})
            assert (response.head.one("content-length") is None) is (code in {204, 304})


@pytest.mark.parametrize(
    ("code", "field", "value"),
    [
        (301, "location", "/"),
        (308, "location", "/"),
        (401, "www-authenticate", 'Basic realm="ashapp"'),
        (429, "retry-after", "1"),
        (503, "retry-after", "1"),
    ],
)
def test_a_status_comes_with_its_field(client: httpx.Client, code: int, field: str, value: str) -> None:
    assert client.get(f"/status/{code}").headers[field] == value


@pytest.mark.parametrize("seconds", ["0", "0.05", ".1"])
def test_delay(client: httpx.Client, seconds: str) -> None:
    began = time.monotonic()
    assert client.get(f"/delay/{seconds}").json() == {"seconds": float(seconds)}
    assert time.monotonic() - began >= float(seconds)


async def test_delays_do_not_wait_for_each_other(server: ServerProcess) -> None:
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False, timeout=20) as many:
        responses = await asyncio.gather(*(many.get("/delay/1") for _ in range(30)))
    assert [response.status_code for response in responses] == [200] * 30
    assert 1 <= time.monotonic() - began < 15


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("content", [b"", b"x", EVERY_BYTE * 5000])
@pytest.mark.parametrize("chunked", [False, True])
def test_upload(client: httpx.Client, method: str, content: bytes, chunked: bool) -> None:  # noqa: FBT001 - a parameter of the test
    sent = iter([content[:100], content[100:]]) if chunked else content
    response = client.request(method, "/upload", content=sent, headers={"Content-Type": "a/b"})
    digest = hashlib.sha256(content).hexdigest()
    assert response.json() == {"size": len(content), "sha256": digest, "content_type": "a/b"}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["cache-control"] == "no-store"
    assert client.head(path).content == b""
    refused = client.post(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_head_is_get_without_a_body(address: Address) -> None:
    with Connection(address) as connection:
        for path in ("/", "/version", "/headers", "/status/200", "/status/418", "/delay/0", "/nowhere"):
            head, got = connection.request("HEAD", path), connection.request("GET", path)
            assert head.status == got.status
            same = ("content-length", "content-type", "cache-control", "x-content-type-options")
            assert [head.head.one(name) for name in same] == [got.head.one(name) for name in same]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/", {"GET", "HEAD", "OPTIONS"}),
        ("/echo", {*METHODS, "HEAD", "OPTIONS"}),
        ("/upload", {"POST", "PUT", "OPTIONS"}),
        ("/delay/9", {*METHODS, "HEAD", "OPTIONS"}),
    ],
)
def test_options(client: httpx.Client, path: str, methods: set[str]) -> None:
    response = client.options(path)
    assert (response.status_code, response.content) == (200, b"")
    assert set(response.headers["allow"].split(", ")) == methods


def test_every_answer_is_protected(client: httpx.Client) -> None:
    for path in ("/", "/version", "/status/204", "/status/500", "/nowhere"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers
