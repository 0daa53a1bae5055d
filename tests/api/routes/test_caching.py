# SPDX-License-Identifier: MIT
import pytest
from flask.testing import FlaskClient

from tests.support.problem_details import assert_problem

MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"If-None-Match": '"v1"'}, 304),
        ({"If-None-Match": 'W/"v1"'}, 304),
        ({"If-None-Match": '"v0", "v1"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"v2"'}, 200),
        ({"If-Match": '"v1"'}, 200),
        ({"If-Match": '"v2"'}, 412),
    ],
)
def test_an_entity_tag_decides(client: FlaskClient, headers: dict[str, str], status: int) -> None:
    response = client.get("/etag/v1", headers=headers)
    assert (response.status_code, response.headers["ETag"]) == (status, '"v1"')
    assert bool(response.data) is (status != 304)


@pytest.mark.parametrize("condition", ["tag", "date"])
def test_a_cache_may_keep_and_ask(client: FlaskClient, condition: str) -> None:
    response = client.get("/cache/60")
    assert response.headers["Cache-Control"] == "public, max-age=60"
    assert response.headers["Last-Modified"] == MODIFIED
    asked = {
        "tag": {"If-None-Match": response.headers["ETag"]},
        "date": {"If-Modified-Since": response.headers["Last-Modified"]},
    }
    again = client.get("/cache/60", headers=asked[condition])
    assert (again.status_code, again.data) == (304, b"")
    earlier = client.get("/cache/60", headers={"If-Modified-Since": "Wed, 31 Dec 2025 00:00:00 GMT"})
    assert earlier.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ({}, 200, "abcdefghijklmnopqrstuvwxyzabcd"),
        ({"Range": "bytes=0-2"}, 206, "abc"),
        ({"Range": "bytes=-2"}, 206, "cd"),
        ({"Range": "bytes=28-"}, 206, "cd"),
        ({"Range": "bytes=28-99"}, 206, "cd"),
        ({"Range": "lines=1-2"}, 200, None),
        ({"Range": "bytes=0-2", "If-Range": '"range-30"'}, 206, "abc"),
        ({"Range": "bytes=0-2", "If-Range": '"range-31"'}, 200, None),
        ({"Range": "bytes=0-2", "If-Range": MODIFIED}, 206, "abc"),
        ({"If-None-Match": '"range-30"'}, 304, ""),
    ],
)
def test_a_range_is_cut_out(
    client: FlaskClient, headers: dict[str, str], status: int, text: str | None
) -> None:
    response = client.get("/range/30", headers=headers)
    assert response.status_code == status
    assert response.headers["Accept-Ranges"] == "bytes"
    if text is not None:
        assert response.text == text
    if status == 206:
        assert response.headers["Content-Range"].endswith("/30")


@pytest.mark.parametrize("value", ["bytes=30-", "bytes=x"])
def test_a_range_that_is_not_there_is_416(client: FlaskClient, value: str) -> None:
    response = client.get("/range/30", headers={"Range": value})
    assert_problem(response, 416)
    assert response.headers["Content-Range"] == "bytes */30"


@pytest.mark.parametrize("path", ["/etag/a%20b", "/etag/" + "a" * 101, "/cache/-1", "/range/0"])
def test_other_values_are_400(client: FlaskClient, path: str) -> None:
    assert_problem(client.get(path), 400, "must be")
