# SPDX-License-Identifier: MIT
"""Redirections, followed and not."""

import httpx
import pytest


@pytest.mark.parametrize(
    ("path", "absolute"),
    [
        ("/redirect/3", False),
        ("/redirect/3?absolute=true", True),
        ("/relative-redirect/3", False),
        ("/absolute-redirect/3", True),
    ],
)
def test_a_chain_of_redirects_ends_at_get(client: httpx.Client, path: str, absolute: bool) -> None:  # noqa: FBT001 - a parameter of the test
    response = client.get(path, follow_redirects=True)
    assert response.status_code == 200
    assert response.url == client.base_url.copy_with(path="/get")
    locations = [step.headers["location"] for step in response.history]
    assert [step.status_code for step in response.history] == [302] * 3
    kind = "absolute" if absolute else "relative"
    start = f"{client.base_url}/" if absolute else "/"
    assert locations == [f"{start}{kind}-redirect/2", f"{start}{kind}-redirect/1", f"{start}get"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_to_with_a_code(client: httpx.Client, code: int) -> None:
    target = "/anything?seen=yes"
    response = client.get("/redirect-to", params={"url": target, "status_code": code})
    assert (response.status_code, response.headers["location"]) == (code, target)


@pytest.mark.parametrize(
    ("code", "method", "data"), [(303, "GET", ""), (307, "POST", "x"), (308, "POST", "x")]
)
def test_a_body_is_sent_again_where_the_code_says_so(
    client: httpx.Client, code: int, method: str, data: str
) -> None:
    query = {"url": "/anything", "status_code": str(code)}
    response = client.post("/redirect-to", params=query, content="x", follow_redirects=True)
    body = response.json()
    assert (body["method"], body["data"]) == (method, data)


def test_an_address_elsewhere_is_passed_on(client: httpx.Client) -> None:
    url = "https://example.org/a%2Fb?c=d#e"
    response = client.get("/redirect-to", params={"url": url})
    assert (response.status_code, response.headers["location"]) == (302, url)


def test_an_address_cannot_add_a_header(client: httpx.Client) -> None:
    # Werkzeug refuses the line break, and httpbin does not handle that.
    response = client.get("/redirect-to", params={"url": "/\r\nX-Forged: yes"})
    assert response.status_code == 500
    assert "x-forged" not in response.headers


def test_double_slashes_are_merged_by_werkzeug(client: httpx.Client) -> None:
    response = client.get("/anything//a", params={"b": "c"})
    assert response.status_code == 308
    assert response.headers["location"] == f"{client.base_url}/anything/a?b=c"
