# SPDX-License-Identifier: MIT
"""Every endpoint of the reference API."""

import hashlib

import httpx
import pytest

PATHS = {"/", "/version", "/echo", "/headers", "/status/{code}", "/delay/{seconds}", "/upload"}


def test_the_card_lists_the_endpoints_that_are_tested_here(client: httpx.Client) -> None:
    card = client.get("/").json()
    assert card["name"] == "ashapp-backend"
    assert {endpoint["path"] for endpoint in card["endpoints"]} == PATHS


def test_each_example_of_the_card_is_answered(client: httpx.Client) -> None:
    for endpoint in client.get("/").json()["endpoints"]:
        for method in endpoint["methods"]:
            status = 418 if endpoint["path"] == "/status/{code}" else 200
            assert client.request(method, endpoint["example"]).status_code == status, (method, endpoint)


def test_the_card_is_a_page_for_a_browser(client: httpx.Client) -> None:
    response = client.get("/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "/delay/{seconds}" in response.text


def test_version(client: httpx.Client) -> None:
    version = client.get("/version").json()
    assert set(version) == {"name", "version", "commit", "python", "flask", "werkzeug"}
    assert version["version"] == client.get("/").json()["version"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_echo(client: httpx.Client, method: str) -> None:
    sent = {"x": ["ü", 1.5]}
    echoed = client.request(method, "/echo?a=1&a=2", json=sent, headers={"X-A": "b"}).json()
    assert (echoed["method"], echoed["path"], echoed["args"]) == (method, "/echo", {"a": ["1", "2"]})
    assert (echoed["json"], echoed["headers"]["X-A"]) == (sent, "b")


def test_echo_of_a_form_with_a_file(client: httpx.Client) -> None:
    echoed = client.post("/echo", data={"title": "Zoë"}, files={"file": ("a.bin", bytes(300))}).json()
    assert echoed["form"] == {"title": ["Zoë"]}
    assert echoed["files"]["file"][0]["size"] == 300


def test_headers(client: httpx.Client) -> None:
    assert client.get("/headers", headers={"X-Seen": "yes"}).json()["headers"]["X-Seen"] == "yes"


@pytest.mark.parametrize("status", [200, 201, 204, 302, 404, 418, 500, 503])
def test_status(client: httpx.Client, status: int) -> None:
    response = client.get(f"/status/{status}")
    assert response.status_code == status
    if status >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == status


def test_delay(client: httpx.Client) -> None:
    response = client.get("/delay/0.5")
    assert response.json() == {"seconds": 0.5}
    assert response.elapsed.total_seconds() >= 0.5


def test_upload(client: httpx.Client) -> None:
    body = bytes(range(256)) * 2048
    assert client.put("/upload", content=body).json() == {
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "content_type": None,
    }


def test_upload_in_chunks(client: httpx.Client) -> None:
    chunks = [bytes([number]) * 8192 for number in range(64)]
    answer = client.post("/upload", content=iter(chunks)).json()
    assert (answer["size"], answer["sha256"]) == (64 * 8192, hashlib.sha256(b"".join(chunks)).hexdigest())


def test_a_body_that_is_too_large_is_refused(client: httpx.Client) -> None:
    assert client.post("/echo", content=bytes(2 * 1024**2)).status_code == 413


def test_a_body_in_chunks_that_is_too_large_is_refused(client: httpx.Client) -> None:
    assert client.post("/echo", content=iter([bytes(1024**2)] * 2)).status_code == 413


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
