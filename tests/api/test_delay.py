# SPDX-License-Identifier: MIT
import asyncio
import inspect
import time

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from ashapp.api import create_app
from ashapp.api.delay import delay
from tests.support.problem_details import assert_problem


def test_waits_at_least_that_long(client: FlaskClient) -> None:
    start = time.monotonic()
    response = client.get("/delay/0.05")
    assert time.monotonic() - start >= 0.05
    assert response.status_code == 200
    assert response.get_json() == {"seconds": 0.05}


def test_waits_on_the_event_loop(app: Flask) -> None:
    assert inspect.iscoroutinefunction(app.view_functions["delay"])


async def test_many_wait_together_on_one_loop(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = 0
    all_waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 20:
            all_waiting.set()
        await all_waiting.wait()

    monkeypatch.setattr("ashapp.api.delay.sleep", sleep)

    async def call() -> int:
        with app.test_request_context("/delay/0.5"):
            return (await delay("0.5")).status_code

    assert await asyncio.wait_for(asyncio.gather(*(call() for _ in range(20))), 10) == [200] * 20


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("0.0", 0), (".01", 0.01), ("00.010", 0.01)])
def test_decimal_seconds(client: FlaskClient, text: str, seconds: float) -> None:
    assert client.get(f"/delay/{text}").get_json() == {"seconds": seconds}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_any_usual_method(client: FlaskClient, method: str) -> None:
    assert client.open("/delay/0", method=method).status_code == 200


@pytest.mark.parametrize(
    "seconds",
    [
        "0.51",
        "1e-1",
        "nan",
        "inf",
        "-inf",
        "-1",
        "-0",
        "+0",
        "abc",
        "0,1",
        "0x1",
        "1_0",
        " 0",
        ".",
        "9" * 400,
        "\u0660",
    ],
)
def test_other_values_are_400_and_say_what_is_allowed(client: FlaskClient, seconds: str) -> None:
    assert_problem(client.get(f"/delay/{seconds}"), 400, seconds, "from 0 to 0.5")


def test_maximum_is_ten_seconds_by_default() -> None:
    assert_problem(create_app().test_client().get("/delay/10.01"), 400, "from 0 to 10")


@given(seconds=st.text(min_size=1).filter(lambda text: "/" not in text) | st.floats().map(str))
def test_waits_or_400(seconds: str) -> None:
    path = "/delay/" + seconds.encode("utf-8", "replace").decode("latin-1")
    response = _APP.test_client().get("/", environ_overrides={"PATH_INFO": path})
    assert response.status_code in {200, 400}


_APP = create_app({"MAX_DELAY_SECONDS": 0.001})
