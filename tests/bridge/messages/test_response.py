# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashapp.bridge.messages.response import Response, status_code
from ashapp.bridge.messages.types import ExcInfo


@pytest.mark.parametrize(
    ("status", "code"),
    [("200 OK", 200), ("200", 200), ("204 ", 204), ("599 Odd \xe9\tthing", 599), ("304 Not Modified", 304)],
)
def test_status_code(status: str, code: int) -> None:
    assert status_code(status) == code


@pytest.mark.parametrize(
    "status",
    ["", "OK", "20 OK", "2000", "200OK", " 200 OK", "600 X", "099 X", "100 Continue", "101", "200 a\r\nb"],
)
def test_malformed_status(status: str) -> None:
    with pytest.raises(ValueError, match="expected a final code and a reason"):
        status_code(status)
    with pytest.raises(ValueError, match="expected a final code and a reason"):
        Response("GET").start(status, [])


def fail() -> None:
    raise KeyError("x")


def exc_info_of_a_failure() -> ExcInfo:
    with pytest.raises(KeyError) as caught:
        fail()
    return caught.type, caught.value, caught.tb


def test_a_body_before_the_start_is_an_error() -> None:
    response = Response("GET")
    assert not response.status
    with pytest.raises(AssertionError, match="before it called start_response"):
        response.head()


def test_head() -> None:
    response = Response("GET")
    response.start("418 Teapot", [("X-A", "1"), ("X-A", "2"), ("Connection", "keep-alive")])
    assert response.status
    assert not response.sealed
    assert response.head() == {
        "type": "http.response.start",
        "status": 418,
        "headers": [(b"x-a", b"1"), (b"x-a", b"2")],
    }
    assert response.sealed


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("exc_info", [None, (None, None, None)])
def test_a_second_start_needs_exc_info(*, sealed: bool, exc_info: Any) -> None:
    response = Response("GET")
    response.start("200 OK", [], exc_info)
    if sealed:
        response.head()
    with pytest.raises(AssertionError, match="without exc_info"):
        response.start("200 OK", [], exc_info)


def test_exc_info_replaces_the_headers_before_they_are_sent() -> None:
    response = Response("GET")
    response.start("204 No Content", [("X-A", "1")])
    response.start("500 Oops", [("Content-Length", "3")], exc_info_of_a_failure())
    assert not response.bodiless
    assert response.remaining == 3
    assert response.head()["status"] == 500


def test_exc_info_is_raised_after_the_headers_were_sent() -> None:
    response = Response("GET")
    response.start("200 OK", [])
    response.head()
    with pytest.raises(KeyError) as caught:
        response.start("500 Oops", [], exc_info_of_a_failure())
    assert caught.traceback[-1].name == "fail"


def test_a_malformed_start_is_as_if_it_had_not_been_called() -> None:
    response = Response("GET")
    with pytest.raises(ValueError, match="control character"):
        response.start("200 OK", [("X-A", "\n")])
    assert not response.status
    response.start("200 OK", [])


@pytest.mark.parametrize(
    ("method", "status", "length", "bodiless", "kept"),
    [
        ("GET", "200 OK", "5", False, True),
        ("HEAD", "200 OK", "5", True, True),
        ("HEAD", "304 Not Modified", "5", True, True),
        ("HEAD", "204 No Content", "5", True, False),
        ("GET", "204 No Content", "0", True, False),
        ("GET", "304 Not Modified", "5", True, False),
        ("GET", "500 Oops", "5", False, True),
    ],
)
def test_bodiless_responses(method: str, status: str, length: str, *, bodiless: bool, kept: bool) -> None:
    response = Response(method)
    response.start(status, [("Content-Length", length), ("ETag", '"x"')])
    assert response.bodiless is bodiless
    assert response.remaining == (None if bodiless else int(length))
    assert response.clip(b"body!") == (b"" if bodiless else b"body!")
    assert dict(response.head()["headers"]) == {
        b"etag": b'"x"',
        **({b"content-length": length.encode()} if kept else {}),
    }


@pytest.mark.parametrize("lengths", [["x"], ["-1"], [""], ["1", "2"], ["1, 1"], ["\xb2"]])
def test_malformed_content_length(lengths: list[str]) -> None:
    with pytest.raises(ValueError, match="expected one number of bytes"):
        Response("GET").start("200 OK", [("Content-Length", length) for length in lengths])


@given(chunks=st.lists(st.binary(max_size=10)), length=st.none() | st.integers(0, 40))
def test_the_body_is_clipped_at_its_content_length(chunks: list[bytes], length: int | None) -> None:
    response = Response("GET")
    response.start("200 OK", [] if length is None else [("Content-Length", str(length))])
    whole = b"".join(chunks)
    sent = b"".join(map(response.clip, chunks))
    assert sent == whole[:length]
    assert response.remaining == (None if length is None else max(0, length - len(whole)))


def test_heads_that_come_again_are_the_same_and_apart() -> None:
    fields = [("Content-Type", "text/plain"), ("Content-Length", "2")]
    first, again, of_head = Response("GET"), Response("GET"), Response("HEAD")
    for response in (first, again, of_head):
        response.start("200 OK", fields)
    first.head()["headers"].append((b"x-a", b"1"))  # as a server does
    assert again.head() == {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"text/plain"), (b"content-length", b"2")],
    }
    assert (first.bodiless, first.remaining) == (False, 2)
    assert (of_head.bodiless, of_head.remaining) == (True, None)


def test_heads_are_kept_in_a_bounded_number_and_none_with_a_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[Any, Any] = {}
    monkeypatch.setattr("ashapp.bridge.messages.response._known", known)
    monkeypatch.setattr("ashapp.bridge.messages.response._MOST_KNOWN", 2)
    for number in range(5):
        Response("GET").start("200 OK", [("X-Number", str(number))])
    assert len(known) <= 2
    known.clear()
    Response("GET").start("200 OK", [("Set-Cookie", "session=" + "x" * 40)])
    Response("GET").start("200 OK", [("X-Number", "1")] * 20)
    assert not known
