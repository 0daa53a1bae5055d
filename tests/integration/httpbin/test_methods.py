# SPDX-License-Identifier: MIT
"""Queries, forms, JSON, files and raw bodies, by each method."""

import base64
import hashlib

import httpx
import pytest

METHODS = ["POST", "PUT", "PATCH", "DELETE"]
EVERY_BYTE = bytes(range(256))


def test_get_shows_the_query_and_the_client(client: httpx.Client) -> None:
    response = client.get("/get", params={"a": ["1", "2"], "b": "", "c": "ü & €"})
    assert response.status_code == 200
    body = response.json()
    assert body["args"] == {"a": ["1", "2"], "b": "", "c": "ü & €"}
    assert body["origin"] == "127.0.0.1"
    assert body["url"].startswith(f"{client.base_url}/get?a=1&a=2&b=&c=")
    assert body["headers"]["Host"] == client.base_url.netloc.decode()


@pytest.mark.parametrize("method", METHODS)
def test_a_form_is_parsed(client: httpx.Client, method: str) -> None:
    form = {"name": "Zoë", "many": ["1", "2"], "empty": ""}
    body = client.request(method, f"/{method.lower()}", data=form).json()
    assert body["form"] == form
    assert (body["data"], body["json"], body["files"]) == ("", None, {})


@pytest.mark.parametrize("method", METHODS)
def test_json_is_parsed(client: httpx.Client, method: str) -> None:
    value = {"text": "ünï €", "list": [1, 2.5, None, True], "nested": {"a": {}}}
    body = client.request(method, f"/{method.lower()}", json=value).json()
    assert body["json"] == value
    assert (body["form"], body["files"]) == ({}, {})


@pytest.mark.parametrize("method", METHODS)
def test_raw_bytes_arrive_as_they_are(client: httpx.Client, method: str) -> None:
    body = client.request(method, f"/{method.lower()}", content=EVERY_BYTE).json()
    assert body["data"] == f"data:application/octet-stream;base64,{base64.b64encode(EVERY_BYTE).decode()}"
    assert body["headers"]["Content-Length"] == "256"


@pytest.mark.parametrize("method", METHODS)
def test_a_method_without_a_body_has_none(client: httpx.Client, method: str) -> None:
    body = client.request(method, f"/{method.lower()}").json()
    assert (body["data"], body["form"], body["files"], body["json"]) == ("", {}, {}, None)


def test_files_and_fields_of_a_multipart_form_are_parsed(client: httpx.Client) -> None:
    files = [
        ("text", ("notes.txt", b"line 1\nline 2\n", "text/plain")),
        ("many", ("one.bin", EVERY_BYTE, "image/x-thing")),
        ("empty", ("empty.txt", b"", "text/plain")),
    ]
    body = client.post("/post", files=files, data={"title": "Zoë", "tag": ["a", "b"]}).json()
    assert body["form"] == {"title": "Zoë", "tag": ["a", "b"]}
    assert body["files"] == {
        "text": "line 1\nline 2\n",
        "many": f"data:image/x-thing;base64,{base64.b64encode(EVERY_BYTE).decode()}",
        "empty": "",
    }
    assert body["headers"]["Content-Type"].startswith("multipart/form-data; boundary=")


def test_a_large_file_of_a_form_arrives_whole(client: httpx.Client) -> None:
    # Werkzeug writes a file of this size to the disk, on the thread of the request.
    content = hashlib.shake_256(b"large").digest(3 << 20)
    body = client.post("/post", files={"file": ("large.bin", content)}).json()
    received = base64.b64decode(body["files"]["file"].partition(",")[2])
    assert received == content


def test_a_large_raw_body_arrives_whole(client: httpx.Client) -> None:
    text = "0123456789abcdef" * (2 << 16)
    body = client.post("/post", content=text, headers={"Content-Type": "text/plain"}).json()
    assert body["data"] == text


@pytest.mark.parametrize("method", ["GET", *METHODS])
def test_anything_tells_the_method(client: httpx.Client, method: str) -> None:
    body = client.request(method, "/anything/else", params={"x": "y"}).json()
    assert (body["method"], body["args"]) == (method, {"x": "y"})


def test_trace_is_passed_on(client: httpx.Client) -> None:
    assert client.request("TRACE", "/anything").json()["method"] == "TRACE"


def test_a_method_that_is_not_allowed_is_told_so(client: httpx.Client) -> None:
    response = client.get("/post")
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == {"POST", "OPTIONS"}


def test_an_unknown_path_is_not_found(client: httpx.Client) -> None:
    response = client.get("/nowhere")
    assert response.status_code == 404
    assert response.headers["content-type"] == "text/html; charset=utf-8"


def test_delay_answers_every_method(client: httpx.Client) -> None:
    for method in ("GET", *METHODS):
        assert client.request(method, "/delay/0", params={"m": method}).json()["args"] == {"m": method}
