# SPDX-License-Identifier: MIT
import os

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ashapp import FlaskToAsgi
from ashapp.testing import AsyncClient


@pytest.mark.parametrize(
    ("path", "async_views", "reason"),
    [
        ("/place", None, None),
        ("/place/sync", None, "sync view"),
        ("/place", "thread", "ASHAPP_ASYNC_VIEWS is 'thread'"),
    ],
)
async def test_place_and_reason_are_told(
    app: Flask, path: str, async_views: str | None, reason: str | None
) -> None:
    app.config["ASHAPP_ASYNC_VIEWS"] = async_views
    async with AsyncClient(FlaskToAsgi(app)) as client:
        place = (await client.get(path)).json()
    assert (place["place"], place["reason"]) == ("thread" if reason else "loop", reason)
    assert (place["process"], place["in_flight"], bool(place["task"])) == (os.getpid(), 1, path == "/place")
    assert place["thread"] != "MainThread" or not reason


def test_another_server_has_threads_alone(client: FlaskClient) -> None:
    place = client.get("/place/sync").get_json()
    assert (place["place"], place["in_flight"], place["task"]) == ("thread", None, None)
