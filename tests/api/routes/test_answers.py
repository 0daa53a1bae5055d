# SPDX-License-Identifier: MIT
import time

import pytest
from flask.testing import FlaskClient

from tests.support.problem_details import assert_problem


@pytest.mark.parametrize(
    ("code", "title"),
    [(200, "OK"), (201, "Created"), (206, "Partial Content"), (299, "Unknown"), (300, "Multiple Choices")],
)
def test_success_is_a_small_document(client: FlaskClient, code: int, title: str) -> None:
    response = client.get(f"/status/{code}")
    assert (response.status_code, response.get_json()) == (code, {"status": code, "title": title})


@pytest.mark.parametrize("code", [204, 205, 304])
def test_codes_that_forbid_content_have_none(client: FlaskClient, code: int) -> None:
    response = client.get(f"/status/{code}")
    assert (response.status_code, response.data) == (code, b"")
    assert response.headers.get("Content-Length", "0") == "0"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("root", ["", "/mounted"])
def test_redirects_lead_to_the_service_card(client: FlaskClient, code: int, root: str) -> None:
    response = client.get(f"/status/{code}", environ_overrides={"SCRIPT_NAME": root})
    assert (response.status_code, response.headers["Location"]) == (code, f"{root}/")


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        *((code, {}) for code in (400, 403, 404, 418, 451, 499, 500, 502, 599)),
        (401, {"WWW-Authenticate": 'Basic realm="ashapp"'}),
        (429, {"Retry-After": "1"}),
        (503, {"Retry-After": "1"}),
        (405, {"Allow": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"}),
    ],
)
def test_errors_are_problems_with_the_header_that_they_call_for(
    client: FlaskClient, code: int, headers: dict[str, str]
) -> None:
    response = client.get(f"/status/{code}")
    assert assert_problem(response, code, str(code))["instance"] == f"/status/{code}"
    assert headers.items() <= dict(response.headers).items()


@pytest.mark.parametrize(
    "code",
    [*["100", "101", "199", "600", "0", "-200", "+200", "20", "0200", "2e2", "abc", "2_0", "٢٠٠"], " 200"],
)
def test_other_values_are_400_and_say_what_is_allowed(client: FlaskClient, code: str) -> None:
    assert_problem(client.get(f"/status/{code}"), 400, code, "200", "599")


def test_waits_at_least_that_long(client: FlaskClient) -> None:
    start = time.monotonic()
    response = client.get("/delay/0.05")
    assert time.monotonic() - start >= 0.05
    assert response.status_code == 200
    assert response.get_json() == {"seconds": 0.05}


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("0.0", 0), (".01", 0.01), ("00.010", 0.01), ("1e-1", 0.1)]
)
def test_decimal_seconds(client: FlaskClient, text: str, seconds: float) -> None:
    assert client.get(f"/delay/{text}").get_json() == {"seconds": seconds}


@pytest.mark.parametrize(
    "seconds",
    [
        *["0.51", "1e1", "nan", "inf", "-inf", "-1", "+0", "abc", "0,1", "0x1", "1_0", ".", "\u0660"],
        " 0",
        "9" * 400,
    ],
)
def test_other_delays_are_400_and_say_what_is_allowed(client: FlaskClient, seconds: str) -> None:
    assert_problem(client.get(f"/delay/{seconds}"), 400, seconds[:100], "from 0 to 0.5")


@pytest.mark.parametrize(("count", "target"), [(20, "/redirect/19"), (2, "/redirect/1"), (1, "/anything")])
@pytest.mark.parametrize("root", ["", "/mounted"])
def test_redirects_stay_here(client: FlaskClient, count: int, target: str, root: str) -> None:
    response = client.get(f"/redirect/{count}", environ_overrides={"SCRIPT_NAME": root})
    assert (response.status_code, response.headers["Location"], response.data) == (302, root + target, b"")


@pytest.mark.parametrize("count", ["0", "21", "-1", "//evil.example"])
def test_redirects_are_bounded(client: FlaskClient, count: str) -> None:
    assert client.get(f"/redirect/{count}").status_code in {400, 404}
