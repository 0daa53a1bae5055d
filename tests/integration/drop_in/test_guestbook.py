# SPDX-License-Identifier: MIT
"""What a visitor does: log in, write, upload, look, log out; what a client of its API does."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.client import Connection
from tests.support.process import ServerProcess
from tests.support.waiting import until

PROXY = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "guests.example.org",
    "X-Forwarded-Prefix": "/book",
}
IMAGE = b"\x89PNG" + bytes(range(256)) * 100


def log_in(client: httpx.Client, name: str) -> httpx.Response:
    return client.post("/login", data={"name": name}, follow_redirects=True)


def test_a_session_lasts_from_login_to_logout(client: httpx.Client) -> None:
    assert "nobody is here" in client.get("/").text
    page = log_in(client, "Zoë <b>").text
    assert "Welcome, Zoë &lt;b&gt;!" in page
    assert "Zoë &lt;b&gt; is here" in page
    assert "Welcome" not in client.get("/").text
    cookie = client.cookies.get("session")
    assert cookie is not None
    client.cookies.clear()
    assert "Zoë &lt;b&gt; is here" in client.get("/", headers={"Cookie": f"session={cookie}"}).text
    assert "nobody is here" in client.get("/", headers={"Cookie": f"session={cookie[:-4]}xxxx"}).text


def test_an_entry_is_written_and_shown(client: httpx.Client) -> None:
    assert client.post("/entries", data={"words": "x"}).status_code == 403
    log_in(client, "Ann")
    files = {"image": ("a.png", IMAGE, "image/png")}
    response = client.post("/entries", data={"words": "Grüße, €"}, files=files)
    assert response.status_code == 303
    address = response.headers["location"]
    page = client.get(address)
    assert "Thank you!" in page.text
    assert "<b>Ann</b>: Grüße, €" in page.text
    whole = client.get(f"{address}/image")
    assert (whole.content, whole.headers["content-type"]) == (IMAGE, "image/png")
    assert "filename*=UTF-8''bild%20%C3%A9.png" in whole.headers["content-disposition"]
    again = client.get(f"{address}/image", headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_many_write_at_once(client: httpx.Client) -> None:
    def write(number: int) -> int:
        with httpx.Client(base_url=client.base_url, trust_env=False, timeout=30) as own:
            log_in(own, f"guest {number}")
            page = own.post("/entries", data={"words": f"words {number}"}, follow_redirects=True).text
            return f"<b>guest {number}</b>: words {number}" in page and f"guest {number} is here" in page

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, range(16)))


def test_a_stream_keeps_the_context_of_its_request(client: httpx.Client) -> None:
    log_in(client, "Ann")
    client.post("/entries", data={"words": 'say "hi", bye'})
    response = client.get("/export.csv")
    lines = response.text.splitlines()
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert lines[0] == "# for Ann"
    assert lines[-1].endswith(',Ann,"say ""hi"", bye"')


def test_a_stream_that_the_client_leaves_is_torn_down(client: httpx.Client, server: ServerProcess) -> None:
    log_in(client, "Ann")
    client.post("/entries", data={"words": "x" * 10_000})
    for _ in range(5):
        with Connection(server.address) as connection:
            connection.send_request("GET", "/export.csv?times=1000000")
            assert connection.receive_head().status == 200
            connection.receive_bytes(1000)
            connection.vanish()
    # Twenty answers in a row, so that each worker gives some.
    until(lambda: all(client.get("/api/state").json()["databases_open"] == 0 for _ in range(20)))


@pytest.mark.parametrize("path", ["/nowhere", "/entries/999999", "/entries/x", "/a%2F%C3%A9%ff"])
def test_a_page_of_its_own_for_what_is_missing(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert "<p>There is no /" in response.text


def test_async_views_and_hooks_run_in_order_and_share_the_request(client: httpx.Client) -> None:
    log_in(client, "Ann")
    response = client.get("/api/gather/3?visitor=Eve")
    assert response.json() == {"found": ["Eve 0", "Eve 1", "Eve 2"], "name": "Ann"}
    assert response.headers["x-order"] == "hook, async hook, async view, after"
    assert response.headers["x-visitor"] == "Eve"


def test_a_context_variable_is_not_seen_in_the_next_request(client: httpx.Client) -> None:
    for path in ("/", "/api/state", "/api/gather/1", "/", "/api/gather/1", "/export.csv", "/"):
        response = client.get(path, params={"visitor": "Eve"})
        assert (response.headers["x-found"], response.headers["x-visitor"]) == ("nobody", "Eve")


def test_a_bug_is_logged_and_shown_to_nobody(client: httpx.Client, server: ServerProcess) -> None:
    response = client.get("/api/bug")
    assert response.status_code == 500
    assert "a bug" not in response.text
    server.wait_for_log(r'RuntimeError(: |", "exc_value": ")a bug')


def test_a_proxy_is_believed(client: httpx.Client) -> None:
    assert client.get("/api/where", headers=PROXY).json() == {
        "address": "203.0.113.7",
        "url": "https://guests.example.org/book/api/where",
        "home": "https://guests.example.org/book/",
        "root": "/book",
    }
    assert client.get("/logout", headers=PROXY).headers["location"] == "https://guests.example.org/book/"
    assert client.post("/login", data={"name": "Ann"}, headers=PROXY).headers["location"] == "/book/"
