# SPDX-License-Identifier: MIT
import os

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ashapp import FlaskToAsgi
from ashapp.testing import AsyncClient


async def test_an_async_view_is_on_the_loop(app: Flask) -> None:
    async with AsyncClient(app) as client:
        place = (await client.get("/place")).json()
    assert (place["place"], place["reason"], place["in_flight"]) == ("loop", None, 1)
    assert (place["process"], bool(place["task"])) == (os.getpid(), True)


@pytest.mark.parametrize(
    ("path", "async_views", "reason"),
    [
        ("/place/sync", None, "sync view"),
        ("/place", "thread", "ASHAPP_ASYNC_VIEWS is 'thread'"),
    ],
)
async def test_the_reason_of_a_thread_is_told(
    app: Flask, path: str, async_views: str | None, reason: str
) -> None:
    app.config["ASHAPP_ASYNC_VIEWS"] = async_views
    async with AsyncClient(FlaskToAsgi(app)) as client:
        place = (await client.get(path)).json()
    assert (place["place"], place["reason"]) == ("thread", reason)
    assert place["thread"] != "MainThread"


def test_another_server_has_threads_alone(client: FlaskClient) -> None:
    place = client.get("/place/sync").get_json()
    assert (place["place"], place["in_flight"], place["task"]) == ("thread", None, None)
