# SPDX-License-Identifier: MIT
"""What takes a client more than one request: redirections, cookies, digests."""

import json

import httpx
import pytest

from tests.support.client import Address, fetch


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


def test_cookies_are_kept_from_request_to_request(client: httpx.Client) -> None:
    response = client.get(
        "/cookies/set", params={"a": "1", "b": "two words", "c": "é=;,"}, follow_redirects=True
    )
    assert response.history[0].headers.get_list("location") == ["/cookies"]
    assert len(response.history[0].headers.get_list("set-cookie")) == 3
    assert response.json() == {"cookies": {"a": "1", "b": "two words", "c": "é=;,"}}
    client.get("/cookies/set/a/2", follow_redirects=True)
    assert client.get("/cookies").json()["cookies"]["a"] == "2"
    client.get("/cookies/delete", params={"a": "", "b": ""})
    assert client.get("/cookies").json() == {"cookies": {"c": "é=;,"}}


def test_each_of_many_is_set_by_a_field_of_its_own(client: httpx.Client) -> None:
    wanted = {f"name{n}": f"value{n}" for n in range(50)}
    response = client.get("/cookies/set", params=wanted)
    assert len(response.headers.get_list("set-cookie")) == 50
    assert client.get("/cookies").json() == {"cookies": wanted}


def test_several_cookie_fields_are_one(address: Address) -> None:
    fields = [("Cookie", "a=1; b=2"), ("X-Between", ""), ("Cookie", "c=3")]
    response = fetch(address, "/cookies", fields=fields)
    assert json.loads(response.body) == {"cookies": {"a": "1", "b": "2", "c": "3"}}


def test_basic_beyond_ascii(client: httpx.Client) -> None:
    response = client.get("/basic-auth/Zoë/пароль", auth=("Zoë", "пароль"))
    assert response.json() == {"authenticated": True, "user": "Zoë"}


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512"])
def test_digest(client: httpx.Client, algorithm: str) -> None:
    path = f"/digest-auth/auth/user/secret/{algorithm}"
    assert client.get(path, auth=httpx.DigestAuth("user", "wrong")).status_code == 401
    client.cookies.clear()
    response = client.get(path, auth=httpx.DigestAuth("user", "secret"))
    assert response.json() == {"authenticated": True, "user": "user"}
