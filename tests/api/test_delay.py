# SPDX-License-Identifier: MIT
import inspect
import time

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.problem_details import assert_problem


def test_waits_at_least_that_long(client: FlaskClient) -> None:
    start = time.monotonic()
    response = client.get("/delay/0.05")
    assert time.monotonic() - start >= 0.05
    assert response.status_code == 200
    assert response.get_json() == {"seconds": 0.05}


def test_waits_on_the_event_loop(app: Flask) -> None:
    assert inspect.iscoroutinefunction(app.view_functions["delay"])


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("0.0", 0), (".01", 0.01), ("00.010", 0.01)])
def test_decimal_seconds(client: FlaskClient, text: str, seconds: float) -> None:
    assert client.get(f"/delay/{text}").get_json() == {"seconds": seconds}


@pytest.mark.parametrize(
    "seconds",
    [
        *["0.51", "1e-1", "nan", "inf", "-inf", "-1", "-0", "+0", "abc", "0,1", "0x1", "1_0", ".", "\u0660"],
        " 0",
        "9" * 400,
    ],
)
def test_other_values_are_400_and_say_what_is_allowed(client: FlaskClient, seconds: str) -> None:
    assert_problem(client.get(f"/delay/{seconds}"), 400, seconds, "from 0 to 0.5")
