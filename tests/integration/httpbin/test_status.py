# SPDX-License-Identifier: MIT
"""Every status code, and codes that no HTTP message can have."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.support.process import ServerProcess, serving


def test_one_of_several_codes_is_answered(client: httpx.Client) -> None:
    assert {client.get("/status/200,201,202").status_code for _ in range(20)} <= {200, 201, 202}
    assert {client.get("/status/500:0,201:1").status_code for _ in range(10)} == {201}


def test_an_error_of_httpbin_is_an_error_of_the_server_and_no_more(client: httpx.Client) -> None:
    # httpbin asserts that there is something to redirect, and takes any text for a number.
    for path in ("/redirect/0", "/delay/never"):
        response = client.get(path)
        assert response.status_code == 500
        assert "Internal Server Error" in response.text
    assert client.get("/get").status_code == 200


@pytest.fixture(scope="module")
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose log may be full of failures."""
    with serving(["httpbin:app", "--log-format", "console"], cwd=tmp_path_factory.mktemp("other")) as server:
        yield server


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        # Werkzeug's and other WSGI servers send whatever number they are given. There is no such code,
        # and 1xx would leave the client waiting for the answer (RFC 9110, 15).
        ("/status/600", "status '600 UNKNOWN'"),
        ("/status/99999", "status '99999 UNKNOWN'"),
        ("/status/-1", "status '-1 UNKNOWN'"),
        ("/status/100", "status '100 CONTINUE'"),
        ("/status/199", "status '199 UNKNOWN'"),
        # Two lengths: the client could not tell where the body ends (RFC 9112, 6.3).
        ("/response-headers?Content-Length=3", "response header Content-Length: b'3'"),
        # No field can have this name (RFC 9110, 5.1), nor this value (PEP 3333: latin-1).
        ("/response-headers?a%20b=1", "response header name 'a b' is not a token"),
        ("/response-headers?a=%E2%82%AC", "response header a: '€' has characters outside latin-1"),
    ],
)
def test_what_http_cannot_say_is_an_error_and_is_logged(
    other_server: ServerProcess, path: str, reason: str
) -> None:
    assert httpx.get(f"{other_server.base_url}{path}", trust_env=False).status_code == 500
    other_server.wait_for_log(f"ValueError: {re.escape(reason)}")
    assert httpx.get(f"{other_server.base_url}/get", trust_env=False).status_code == 200


def test_hop_by_hop_fields_are_the_servers(client: httpx.Client) -> None:
    # Werkzeug's server sends the field, and with it an answer that says to be chunked and is not.
    response = client.get("/response-headers", params={"Transfer-Encoding": "chunked", "Upgrade": "other"})
    assert response.json()["Transfer-Encoding"] == "chunked"
    assert not {"transfer-encoding", "upgrade"} & set(response.headers)
