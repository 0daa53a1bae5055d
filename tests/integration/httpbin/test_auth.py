# SPDX-License-Identifier: MIT
"""Basic, digest and bearer authentication."""

import httpx
import pytest


def test_basic(client: httpx.Client) -> None:
    refused = client.get("/basic-auth/user/pass:word")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="Fake Realm"')
    assert client.get("/basic-auth/user/pass:word", auth=("user", "wrong")).status_code == 401
    response = client.get("/basic-auth/user/pass:word", auth=("user", "pass:word"))
    assert response.json() == {"authenticated": True, "user": "user"}


def test_basic_beyond_ascii(client: httpx.Client) -> None:
    response = client.get("/basic-auth/Zoë/пароль", auth=("Zoë", "пароль"))
    assert response.json() == {"authenticated": True, "user": "Zoë"}


def test_hidden_basic(client: httpx.Client) -> None:
    refused = client.get("/hidden-basic-auth/user/secret")
    assert refused.status_code == 404
    assert "www-authenticate" not in refused.headers
    assert client.get("/hidden-basic-auth/user/secret", auth=("user", "secret")).status_code == 200


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512"])
def test_digest(client: httpx.Client, algorithm: str) -> None:
    path = f"/digest-auth/auth/user/secret/{algorithm}"
    assert client.get(path, auth=httpx.DigestAuth("user", "wrong")).status_code == 401
    client.cookies.clear()
    response = client.get(path, auth=httpx.DigestAuth("user", "secret"))
    assert response.json() == {"authenticated": True, "user": "user"}


def test_digest_that_needs_a_cookie(client: httpx.Client) -> None:
    # Where there is a query, httpbin joins a str and bytes: its own defect, under any server.
    auth = httpx.DigestAuth("user", "secret")
    response = client.get("/digest-auth/auth/user/secret?require-cookie=true", auth=auth)
    assert response.status_code == 500


def test_bearer(client: httpx.Client) -> None:
    refused = client.get("/bearer")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    response = client.get("/bearer", headers={"Authorization": "Bearer a.b-c"})
    assert response.json() == {"authenticated": True, "token": "a.b-c"}
