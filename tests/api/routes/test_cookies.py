# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.problem_details import assert_problem


def test_a_cookie_is_set_listed_and_deleted(client: FlaskClient) -> None:
    assert client.get("/cookies").get_json() == {"cookies": {}}
    response = client.put("/cookies/flavour", json={"value": 'oat; "raw"', "seconds": 60})
    assert response.get_json() == client.get("/cookies").get_json() == {"cookies": {"flavour": 'oat; "raw"'}}
    field = response.headers["Set-Cookie"]
    assert field.endswith("; Max-Age=60; HttpOnly; Path=/cookies; SameSite=Lax")
    assert (
        "Secure" in client.put("/cookies/a", json={"value": "b"}, base_url="https://x").headers["Set-Cookie"]
    )
    assert client.delete("/cookies/flavour").get_json() == {"cookies": {}}
    assert client.get("/cookies").get_json() == {"cookies": {}}
    assert client.delete("/cookies/flavour").status_code == 200


def test_the_longest_cookie_is_one_that_browsers_take(client: FlaskClient) -> None:
    name, value = "n" * 100, "," * 500
    assert client.put(f"/cookies/{name}", json={"value": value}).status_code == 200
    assert client.get("/cookies").get_json() == {"cookies": {name: value}}


@pytest.mark.parametrize(
    ("body", "mentioned"),
    [
        ({}, ("value", "required")),
        ({"value": 1}, ("value", "string", "1")),
        ({"value": "ü"}, ("value", "pattern", "ü")),
        ({"value": "x" * 501}, ("value", "500")),
        ({"value": "x", "seconds": 0}, ("seconds", "greater", "0")),
        ({"value": "x", "more": 1}, ("more", "not permitted")),
        ({"value": "x", "\ud800": "\udfff"}, ("a name", "\\ud800")),
        ([], ("The body", "object")),
    ],
)
def test_a_body_that_does_not_fit_is_400(client: FlaskClient, body: Any, mentioned: tuple[str, ...]) -> None:
    assert_problem(client.put("/cookies/a", json=body), 400, *mentioned)


def test_a_body_that_is_no_json(client: FlaskClient) -> None:
    assert_problem(client.put("/cookies/a", data="value=b"), 415, "application/json")
    assert_problem(client.put("/cookies/a", data="{", content_type="application/json"), 400, "JSON")
    assert_problem(client.put("/cookies/a%3Bb", json={"value": "x"}), 400, "name", "'a;b'")


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH"])
def test_the_methods_of_a_cookie_are_named(client: FlaskClient, method: str) -> None:
    assert set(client.open("/cookies/a", method=method).allow) == {"DELETE", "OPTIONS", "PUT"}
