# SPDX-License-Identifier: MIT
import base64

import pytest
from flask.testing import FlaskClient

from tests.support.problem_details import assert_problem

BASIC, BEARER = 'Basic realm="ashapp", charset="UTF-8"', 'Bearer realm="ashapp"'
WRONG = f'{BEARER}, error="invalid_token"'


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("path", "field", "challenge"),
    [
        ("/basic-auth/me/secret", basic("me:secret"), None),
        ("/basic-auth/me/secret", None, BASIC),
        ("/basic-auth/me/secret", basic("me:x"), BASIC),
        ("/basic-auth/me/secret", basic("m:e:secret"), BASIC),
        ("/basic-auth/me/secret", basic("ü:"), BASIC),
        ("/basic-auth/me/secret", "Bearer me", BASIC),
        ("/bearer/abc", "Bearer abc", None),
        ("/bearer/abc", None, BEARER),
        ("/bearer/abc", basic("me:secret"), BEARER),
        ("/bearer/abc", "Bearer x", WRONG),
        ("/bearer/abc", "Bearer", WRONG),
        ("/bearer/abc", "Bearer \xff", WRONG),
    ],
)
def test_the_user_or_the_token_of_the_path_is_let_in_and_others_are_asked_again(
    client: FlaskClient, path: str, field: str | None, challenge: str | None
) -> None:
    environ = {} if field is None else {"HTTP_AUTHORIZATION": field}
    response = client.get(path, environ_overrides=environ)
    if challenge is None:
        user = "me" if "basic" in path else None
        assert (response.status_code, response.get_json()) == (200, {"authenticated": True, "user": user})
    else:
        assert_problem(response, 401)
        assert response.headers["WWW-Authenticate"] == challenge
