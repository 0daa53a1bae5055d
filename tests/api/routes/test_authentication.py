# SPDX-License-Identifier: MIT
import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import Authorization

from tests.support.problem_details import assert_problem


def basic(user: str, password: str) -> Authorization:
    return Authorization("basic", {"username": user, "password": password})


def test_the_user_of_the_path(client: FlaskClient) -> None:
    response = client.get("/basic-auth/me/secret", auth=basic("me", "secret"))
    assert (response.status_code, response.get_json()) == (200, {"authenticated": True, "user": "me"})


@pytest.mark.parametrize(
    "auth",
    [None, basic("me", "x"), basic("m", "e:secret"), basic("ü", ""), Authorization("bearer", token="me")],
)
def test_other_users_are_asked_again(client: FlaskClient, auth: Authorization | None) -> None:
    response = client.get("/basic-auth/me/secret", auth=auth)
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == 'Basic realm="ashapp", charset="UTF-8"'


def test_the_token_of_the_path(client: FlaskClient) -> None:
    response = client.get("/bearer/abc", auth=Authorization("bearer", token="abc"))
    assert (response.status_code, response.get_json()) == (200, {"authenticated": True, "user": None})


@pytest.mark.parametrize(
    ("field", "challenge"),
    [
        (None, 'Bearer realm="ashapp"'),
        ("Basic bWU6c2VjcmV0", 'Bearer realm="ashapp"'),
        ("Bearer x", 'Bearer realm="ashapp", error="invalid_token"'),
        ("Bearer", 'Bearer realm="ashapp", error="invalid_token"'),
        ("Bearer \xff", 'Bearer realm="ashapp", error="invalid_token"'),
    ],
)
def test_another_token_is_refused(client: FlaskClient, field: str | None, challenge: str) -> None:
    environ = {} if field is None else {"HTTP_AUTHORIZATION": field}
    response = client.get("/bearer/abc", environ_overrides=environ)
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == challenge
