# SPDX-License-Identifier: MIT
"""Cookies, set, sent back and deleted."""

import json

import httpx

from tests.support.client import Address, fetch


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


def test_there_are_none_at_first(client: httpx.Client) -> None:
    assert client.get("/cookies").json() == {"cookies": {}}


def test_each_of_many_is_set_by_a_field_of_its_own(client: httpx.Client) -> None:
    wanted = {f"name{n}": f"value{n}" for n in range(50)}
    response = client.get("/cookies/set", params=wanted)
    assert len(response.headers.get_list("set-cookie")) == 50
    assert client.get("/cookies").json() == {"cookies": wanted}


def test_several_cookie_fields_are_one(address: Address) -> None:
    fields = [("Cookie", "a=1; b=2"), ("X-Between", ""), ("Cookie", "c=3")]
    response = fetch(address, "/cookies", fields=fields)
    assert json.loads(response.body) == {"cookies": {"a": "1", "b": "2", "c": "3"}}
