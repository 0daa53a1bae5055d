# SPDX-License-Identifier: MIT
import logging
from contextvars import Context
from typing import Any

import pytest

from ashapp.observe.logs.request_records import RequestRecords
from ashapp.observe.observation import Observation
from tests.support.asgi import http_scope

ACCESS = '%s - "%s %s HTTP/%s" %d'
WEBSOCKET = '%s - "WebSocket %s" 403'


def told(rules: RequestRecords, message: object, *args: Any, level: int = logging.INFO) -> str | None:
    record = logging.LogRecord("uvicorn.error", level, "", 0, message, args, None)
    return record.getMessage() if rules.filter(record) else None


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        (ACCESS, ("::1:80", "GET", "/a?token=b", "1.1", 200), '::1:80 - "GET /a HTTP/1.1" 200'),
        (WEBSOCKET, ("::1:80", "/a?token=b?c=/d"), '::1:80 - "WebSocket /a" 403'),
        ("Redirects to %s", ("https://shop/a?token=b",), "Redirects to https://shop/a"),
        ("%s %s", ("Scope:", {"path": "/a", "query_string": b"token=b"}), "Scope: {'path': '/a'}"),
        ("Is it /a?%s", ("b",), "Is it /a?b"),
        ("Returned %s", ("what? /a?b",), "Returned what? /a?b"),
        (ValueError("/a?b"), (), "/a?b"),
    ],
)
def test_query_strings_are_taken_out(message: object, args: tuple[Any, ...], expected: str) -> None:
    assert told(RequestRecords(access=True, query=False), message, *args) == expected


def test_they_stay_where_they_are_wanted() -> None:
    rules = RequestRecords(access=True, query=True)
    assert told(rules, WEBSOCKET, "::1:80", "/a?b=c") == '::1:80 - "WebSocket /a?b=c" 403'


@pytest.mark.parametrize("message", [WEBSOCKET, WEBSOCKET.replace("403", "[accepted]")])
def test_without_an_access_log_there_are_no_lines_for_websockets(message: str) -> None:
    rules = RequestRecords(access=False, query=True)
    assert told(rules, message, "::1:80", "/a") is None
    assert told(rules, "connection closed") is None
    assert told(rules, "Shutting down") == "Shutting down"


def test_heads_and_messages_are_not_logged() -> None:
    rules = RequestRecords(access=True, query=True)
    for message, args in (
        ("< GET %s HTTP/1.1", ("/",)),
        ("> %s: %s", ("Set-Cookie", "a=b")),
        ("< %s", ("frame",)),
    ):
        assert told(rules, message, *args, level=logging.DEBUG) is None


@pytest.mark.parametrize("handed_over", [True, False])
@pytest.mark.parametrize(
    "message", ["ASGI callable returned without completing response.", "Exception in ASGI application\n"]
)
def test_a_response_that_is_incomplete_on_purpose_is_no_error(message: str, *, handed_over: bool) -> None:
    def tell() -> str | None:
        observation.bind()
        return told(RequestRecords(access=True, query=True), message, level=logging.ERROR)

    observation = Observation(http_scope(), None, lambda _: None)  # type: ignore[arg-type]
    observation.handed_over = handed_over
    assert Context().run(tell) == (None if handed_over else message)
    assert told(RequestRecords(access=True, query=True), message) == message
