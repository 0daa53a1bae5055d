# SPDX-License-Identifier: MIT
"""What httpbin sees of the header fields of a request."""

import json
from typing import Any

import httpx

from tests.support.client import Address, fetch


def seen(address: Address, fields: list[tuple[str, str]]) -> dict[str, Any]:
    response = fetch(address, "/headers", fields=fields)
    assert response.status == 200
    headers: dict[str, Any] = json.loads(response.body)["headers"]
    return headers


def test_repeated_fields_are_joined_in_order(address: Address) -> None:
    fields = [("X-Tag", "one"), ("Other", "x"), ("x-tag", "two"), ("X-TAG", "three")]
    assert seen(address, fields) == {"Host": "localhost", "X-Tag": "one, two, three", "Other": "x"}


def test_names_with_underscores_cannot_forge_others(address: Address) -> None:
    fields = [("X_User", "forged"), ("X-User", "real"), ("X_Other", "forged")]
    assert seen(address, fields) == {"Host": "localhost", "X-User": "real"}


def test_values_pass_byte_for_byte(address: Address) -> None:
    fields = [("X-Latin", "Jos\xe9 \xff"), ("X-Empty", ""), ("X-Odd", "a\tb;c=\"d\", 'e' \\")]
    assert seen(address, fields) == {
        "Host": "localhost",
        "X-Latin": "Jos\xe9 \xff",
        "X-Empty": "",
        "X-Odd": "a\tb;c=\"d\", 'e' \\",
    }


def test_what_must_be_single_is_refused_where_it_is_repeated(address: Address) -> None:
    for name in ("Host", "Content-Type"):
        response = fetch(address, "/post", "POST", fields=[(name, "a/b"), (name, "c/d")], body=b"x")
        assert response.status == 400
        assert name.lower() in response.body.decode().lower()


def test_a_proxy_on_this_machine_tells_the_scheme(client: httpx.Client) -> None:
    url = client.get("/get", headers={"X-Forwarded-Proto": "https"}).json()["url"]
    assert url == str(client.base_url.copy_with(scheme="https", path="/get"))
