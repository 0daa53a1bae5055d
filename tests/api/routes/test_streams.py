# SPDX-License-Identifier: MIT
import json

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ashapp.testing import AsyncClient, Client
from tests.support.problem_details import assert_problem


def test_lines_are_json_objects(client: FlaskClient) -> None:
    response = client.get("/stream/3")
    assert response.mimetype == "application/x-ndjson"
    assert [json.loads(line)["number"] for line in response.text.splitlines()] == [0, 1, 2]


@pytest.mark.parametrize("count", [0, 1, 100_000])
def test_bytes_are_as_many_as_announced(client: FlaskClient, count: int) -> None:
    response = client.get(f"/bytes/{count}")
    assert len(response.data) == response.content_length == count
    head = client.head(f"/bytes/{count}")
    assert (head.content_length, head.data) == (count, b"")


def test_bytes_drip(app: Flask) -> None:
    with Client(app) as client:
        response = client.get("/drip?count=3&interval=0.01")
        assert (response.content, response.headers["content-length"]) == (b"***", "3")


@pytest.mark.parametrize(
    ("last", "numbers"),
    [(None, [1, 2, 3]), ("2", [3]), ("3", []), ("0", [1, 2, 3]), ("x", [1, 2, 3]), ("9" * 5000, [1, 2, 3])],
)
async def test_events_go_on_behind_the_last_one(app: Flask, last: str | None, numbers: list[int]) -> None:
    async with AsyncClient(app) as client:
        headers = {"Last-Event-ID": last} if last else {}
        response = await client.get("/events?count=3&interval=0", headers=headers)
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = response.text.splitlines()
    assert [int(line[4:]) for line in lines if line.startswith("id: ")] == numbers
    assert [line for line in lines if line.startswith("data: ")] == [
        f'data: {{"number": {number}, "of": 3}}' for number in numbers
    ]


@pytest.mark.parametrize(
    ("path", "mentioned"),
    [
        ("/stream/1001", ("count", "from 0 to 1000", "'1001'")),
        ("/bytes/10485761", ("count", "from 0 to 10485760")),
        ("/bytes/-1", ("count", "'-1'")),
        ("/drip?count=x", ("count", "a whole number", "'x'")),
        ("/drip?interval=0.6", ("interval", "from 0 to 0.5", "'0.6'")),
        ("/events?count=1&count=2", ("count", "once", "2 times")),
        ("/events?count=", ("count", "''")),
    ],
)
def test_a_bad_value_is_told_with_what_is_allowed(
    client: FlaskClient, path: str, mentioned: tuple[str, ...]
) -> None:
    assert_problem(client.get(path), 400, *mentioned)
