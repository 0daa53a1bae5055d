# SPDX-License-Identifier: MIT
"""How server-sent events are written."""

import math
from typing import Any

import pytest

from ashapp import Event


@pytest.mark.parametrize(
    ("event", "written"),
    [
        (Event("hello"), b"data: hello\n\n"),
        (Event(""), b"data: \n\n"),
        (Event("a\nb\r\nc\rd\n"), b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
        (Event({"n": [1, None]}), b'data: {"n": [1, null]}\n\n'),
        (
            Event("é", event="tick", id="7", retry=1.5),
            "event: tick\nid: 7\nretry: 1500\ndata: é\n\n".encode(),
        ),
        (Event(retry=0), b"retry: 0\n\n"),
        (Event("x", id=""), b"id: \ndata: x\n\n"),
    ],
)
def test_an_event_is_written(event: Event, written: bytes) -> None:
    assert event.encode() == written


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"event": "a\nb"}, "event = 'a\\\\nb'"),
        ({"id": "a\rb"}, "id = 'a\\\\rb'"),
        ({"id": "a\0"}, "id = 'a\\\\x00'"),
        ({"retry": -1}, "retry = -1: expected seconds, 0 or more"),
        ({"retry": math.inf}, "retry = inf: expected seconds, 0 or more"),
        ({"retry": math.nan}, "retry = nan: expected seconds, 0 or more"),
    ],
)
def test_what_can_not_be_written_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Event("x", **fields)
