# SPDX-License-Identifier: MIT
"""Every endpoint of the reference API."""

import hashlib

import httpx
import pytest

from tests.support.reference_api import status_of


def test_each_example_of_the_card_is_answered(client: httpx.Client) -> None:
    for endpoint in client.get("/").json()["endpoints"]:
        for method in endpoint["methods"]:
            status = status_of(method, endpoint["path"])
            assert client.request(method, endpoint["example"]).status_code == status, (method, endpoint)


def test_version(client: httpx.Client) -> None:
    version = client.get("/version").json()
    assert set(version) == {"name", "version", "commit", "python", "flask", "werkzeug"}
    card = client.get("/").json()
    assert (version["name"], version["version"]) == (card["name"], card["version"])
    assert version["name"] == "ashapp-backend"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_echo(client: httpx.Client, method: str) -> None:
    sent = {"x": ["ü", 1.5]}
    echoed = client.request(method, "/echo?a=1&a=2", json=sent, headers={"X-A": "b"}).json()
    assert (echoed["method"], echoed["path"], echoed["args"]) == (method, "/echo", {"a": ["1", "2"]})
    assert (echoed["json"], echoed["headers"]["X-A"]) == (sent, "b")


def test_upload_in_chunks(client: httpx.Client) -> None:
    chunks = [bytes([number]) * 8192 for number in range(64)]
    answer = client.post("/upload", content=iter(chunks)).json()
    assert (answer["size"], answer["sha256"]) == (64 * 8192, hashlib.sha256(b"".join(chunks)).hexdigest())


@pytest.mark.parametrize("content", [bytes(2 * 1024**2), [bytes(1024**2)] * 2], ids=["length", "chunks"])
def test_a_body_that_is_too_large_is_refused(client: httpx.Client, content: bytes | list[bytes]) -> None:
    body = content if isinstance(content, bytes) else iter(content)
    assert client.post("/echo", content=body).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nosuch", 404),
        ("DELETE", "/version", 405),
        ("GET", "/delay/x", 400),
        ("GET", "/status/1", 400),
    ],
)
def test_errors_are_problems(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == response.json()["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["instance"] == path
