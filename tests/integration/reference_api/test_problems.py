# SPDX-License-Identifier: MIT
"""Every error is a problem (RFC 9457), whatever was sent."""

import json
from typing import Any

import httpx
import pytest

from tests.support.client import Address, Connection, fetch


def check(response: httpx.Response, status: int, instance: str, *words: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == "about:blank"
    assert body["title"]
    assert (body["status"], body["instance"]) == (status, instance)
    assert [word for word in words if word not in body["detail"]] == []
    return body


def test_an_unknown_path(client: httpx.Client) -> None:
    check(client.get("/no/such/path"), 404, "/no/such/path")


def test_a_method_that_is_not_allowed(client: httpx.Client) -> None:
    response = client.delete("/upload")
    check(response, 405, "/upload")
    assert set(response.headers["allow"].split(", ")) == {"POST", "PUT", "OPTIONS"}


@pytest.mark.parametrize("code", ["199", "600", "abc", "-1", "2000", "٢٠٠"])
def test_a_status_that_is_none(client: httpx.Client, code: str) -> None:
    response = client.get(f"/status/{code}")
    check(response, 400, response.url.raw_path.decode(), "from 200 to 599")


@pytest.mark.parametrize("seconds", ["-1", "11", "nan", "inf", "1e1", "x"])
def test_a_delay_that_is_none(client: httpx.Client, seconds: str) -> None:
    check(client.get(f"/delay/{seconds}"), 400, f"/delay/{seconds}", "from 0 to 10")


@pytest.mark.parametrize("text", [b"{", b"", b"NaN", b"\xff", b"[" * 200 + b"]" * 200, b"1e999"])
def test_json_that_is_none(client: httpx.Client, text: bytes) -> None:
    response = client.post("/echo", content=text, headers={"Content-Type": "application/json"})
    if text:
        check(response, 400, "/echo", "JSON")
    else:
        assert response.json()["json"] is None


def test_a_form_that_is_none(client: httpx.Client) -> None:
    fields = {"Content-Type": "multipart/form-data; boundary=b"}
    check(client.post("/echo", content=b"--b\r\nno part", headers=fields), 400, "/echo", "form")


def test_a_coding_that_is_not_understood(client: httpx.Client) -> None:
    response = client.post("/echo", content=b"x", headers={"Content-Encoding": "gzip"})
    check(response, 415, "/echo", "gzip")
    assert response.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large(client: httpx.Client, chunked: bool) -> None:  # noqa: FBT001 - a parameter of the test
    content = b"x" * (1024**2 + 1)
    sent = iter([content[:99_999], content[99_999:]]) if chunked else content
    check(client.post("/echo", content=sent), 413, "/echo", "1048576")
    whole = iter([content[1:]]) if chunked else content[1:]
    assert client.post("/echo", content=whole).status_code == 200


@pytest.mark.parametrize("path", ["/upload", "/echo"])
@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(
    address: Address, path: str, expect: str
) -> None:
    with Connection(address) as connection:
        connection.send(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 << 30}\r\n{expect}\r\n".encode()
        )
        # The first answer: no "100 Continue" before it.
        response = connection.receive()
        assert response.status == 413
        assert response.head.one("content-type") == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "instance"),
    [
        ("/%ff/%00", "/%FF/%00"),
        ("//elsewhere.example/x", "/.//elsewhere.example/x"),
        ("/a%2Fb%20c", "/a/b%20c"),
        ("/%zz", "/%25zz"),
        ("/..%2f..", "/../.."),
        (f"/{'p' * 8000}", f"/{'p' * 8000}"),
    ],
)
def test_odd_paths(address: Address, path: str, instance: str) -> None:
    response = fetch(address, path)
    assert response.status == 404
    assert json.loads(response.body)["instance"] == instance


@pytest.mark.parametrize("query", ["%ff=%00", "a=%zz&=&&", "q=" + "v" * 8_000])
def test_odd_queries_are_no_error(address: Address, query: str) -> None:
    assert fetch(address, f"/echo?{query}").status == 200
    assert fetch(address, f"/delay/0?{query}").status == 200


def test_fields_that_contradict_each_other(address: Address) -> None:
    for fields in ([("Content-Type", "a/b"), ("Content-Type", "c/d")], [("Host", "elsewhere")]):
        response = fetch(address, "/echo", "POST", fields, b"x")
        assert response.status == 400
        assert response.head.one("content-type") == "application/problem+json"
