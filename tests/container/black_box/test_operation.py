# SPDX-License-Identifier: MIT
"""Probes, many requests at once, and what the public must not see."""

import asyncio
import time

import httpx
import pytest

from tests.container.black_box.conftest import TIMEOUT
from tests.container.conftest import DEPLOYED

AT_ONCE = 60
SECONDS = 2


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_requests_that_wait_do_not_wait_for_each_other(base_url: str) -> None:
    limits = httpx.Limits(max_connections=None)
    client = httpx.AsyncClient(
        base_url=base_url, limits=limits, trust_env=bool(DEPLOYED), timeout=SECONDS * AT_ONCE
    )
    async with client:
        began = time.monotonic()
        responses = await asyncio.gather(*(client.get(f"/delay/{SECONDS}") for _ in range(AT_ONCE)))
        taken = time.monotonic() - began
    assert [response.status_code for response in responses] == [200] * AT_ONCE
    # One after the other they would take two minutes.
    assert taken < SECONDS * AT_ONCE / 4


async def test_requests_that_work_at_once_are_all_answered(base_url: str) -> None:
    limits = httpx.Limits(max_connections=20)
    client = httpx.AsyncClient(base_url=base_url, limits=limits, trust_env=bool(DEPLOYED), timeout=TIMEOUT)
    async with client:
        answers = await asyncio.gather(*(client.post("/echo", json=number) for number in range(300)))
    assert [answer.json()["json"] for answer in answers] == list(range(300))


def test_metrics_are_not_for_the_public(client: httpx.Client) -> None:
    assert client.get("/metrics").status_code == 404


def test_an_answer_has_the_id_of_its_request(client: httpx.Client) -> None:
    assert client.get("/version").headers["x-request-id"]


def test_the_server_does_not_tell_what_it_is(client: httpx.Client) -> None:
    assert "uvicorn" not in client.get("/version").headers.get("server", "")
