# SPDX-License-Identifier: MIT
import io
import json
import re
import time
from datetime import datetime
from typing import Any

import pytest

from ashapp.observe.logs.access_log import JsonLine, console_line
from ashapp.observe.logs.brief_line import brief_line
from ashapp.observe.logs.formats import console_renderer
from ashapp.observe.logs.lines import Lines
from ashapp.observe.observation import Observation
from tests.support.asgi import http_scope

#: 2026-07-02T13:46:40.25Z
NOW = 1783000000.25


def observation(target: bytes = b"/users/7?token=secret", **entries: Any) -> Observation:
    async def send(message: Any) -> None: ...

    scope = http_scope(target=target, headers=[(b"x-request-id", b"r1")], **entries)
    seen = Observation(scope, send, lambda observation: None)
    seen.trace_id, seen.span_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    seen.status, seen.sent, seen.duration, seen.queued = 200, 12, 0.0123456, 0.001
    seen.place, seen.route = "thread", "/users/<int:id>"
    return seen


def json_line(seen: Observation, *, query: bool = False) -> str:
    return JsonLine(query=query)(seen, NOW)


def test_a_line_has_its_members_in_order() -> None:
    line = json_line(observation())
    assert line.endswith("}\n")
    assert list(json.loads(line).items()) == [
        ("timestamp", "2026-07-02T13:46:40.250000Z"),
        ("level", "info"),
        ("logger", "ashapp.access"),
        ("event", "request"),
        ("method", "GET"),
        ("path", "/users/7"),
        ("route", "/users/<int:id>"),
        ("status", 200),
        ("bytes", 12),
        ("duration_ms", 12.346),
        ("queued_ms", 1.0),
        ("place", "thread"),
        ("client", "192.0.2.1"),
        ("request_id", "r1"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("span_id", "00f067aa0ba902b7"),
    ]


@pytest.mark.parametrize("seconds", [0.0, 0.0000014, 0.9999994, 0.9999996, 1.0, 123.4567891])
def test_a_time_is_told_in_microseconds(seconds: float) -> None:
    seen = observation()
    seen.duration = seen.queued = seconds
    line = json.loads(json_line(seen))
    assert line["duration_ms"] == line["queued_ms"] == round(seconds * 1000, 3)


def test_the_time_goes_on() -> None:
    make_line = JsonLine()
    times = [NOW, 1783000000.999999, 1783000001.0]
    stamps = [json.loads(make_line(observation(), now))["timestamp"] for now in times]
    assert stamps == [
        "2026-07-02T13:46:40.250000Z",
        "2026-07-02T13:46:40.999999Z",
        "2026-07-02T13:46:41.000000Z",
    ]


@pytest.mark.parametrize(
    ("changes", "query", "told"),
    [
        ({}, False, {"query": None, "disconnected": None, "error": None}),
        ({}, True, {"query": "token=secret"}),
        ({"status": None, "route": None, "place": None}, False, {"status": None, "route": None}),
        (
            {"disconnected": True, "failure": "LookupError"},
            False,
            {"disconnected": True, "error": "LookupError"},
        ),
        ({"failure": "LookupError"}, False, {"disconnected": None, "error": "LookupError"}),
    ],
)
def test_what_there_is_to_tell_is_told(changes: dict[str, Any], query: object, told: dict[str, Any]) -> None:
    seen = observation(client=None)
    for name, value in changes.items():
        setattr(seen, name, value)
    line = json.loads(json_line(seen, query=bool(query)))
    assert {name: line.get(name) for name in told} == told
    assert line["client"] is None


@pytest.mark.parametrize(
    "path", ['/"}{', "/\r\nlevel: error", "/\x1b[31m", "/\N{SNOWMAN}\\", "/\udc80", "/\x00\x7f"]
)
def test_a_path_cannot_break_a_line(path: str) -> None:
    seen = observation()
    seen.scope["path"] = path
    line, for_reader = json_line(seen), for_console(seen)
    assert line.isascii()
    assert json.loads(line)["path"] == path
    assert line.count("\n") == for_reader.count("\n") == 1
    assert for_reader.strip().isprintable()


def for_console(seen: Observation, *, query: bool = False) -> str:
    return console_line(seen, NOW, render=console_renderer(colors=False), query=query)


def test_a_line_for_a_reader() -> None:
    seen = observation()
    line = for_console(seen)
    assert line.startswith("2026-07-02T13:46:40Z ")
    assert "[info     ] GET /users/7 200 " in line
    assert "route=/users/<int:id> bytes=12 ms=12.3 place=thread request_id=r1\n" in line
    assert "GET /users/7?token=secret 200" in for_console(seen, query=True)
    assert "GET /users/7 200" in for_console(observation(b"/users/7"), query=True)
    seen.status, seen.disconnected, seen.failure = None, True, "LookupError"
    line = for_console(seen)
    assert all(
        told in line for told in ("GET /users/7 disconnected", "disconnected=True", "error=LookupError")
    )


def test_a_line_for_a_developer_fits_into_100_columns() -> None:
    seen = observation()
    shown = r"\d\d:\d\d:\d\d  200    12 ms  thread  GET    /users/7\?token=secret\n"
    assert re.fullmatch(shown, brief_line(seen, NOW, colors=False))
    seen.status, seen.duration, seen.place = None, 1.23, None
    shown = "  gone   1.2 s  -       GET    /users/7?token=secret\n"
    assert brief_line(seen, NOW, colors=False).endswith(shown)
    seen.failure = "CancelledError"
    assert brief_line(seen, NOW, colors=False).endswith("  (cut)\n")
    seen.scope["path"] = f"/a{'b' * 200}c\n"
    seen.failure = "SomeVeryLongNameOfAnErrorOfSomeLibrary"
    line = brief_line(seen, NOW, colors=False)
    assert (len(line), line.count("\n")) == (101, 1)
    assert "/abb" in line
    assert re.search(r"token=secret  SomeVery\w*…\w*Library\n$", line)


@pytest.mark.parametrize(("status", "colour"), [(204, 32), (302, 36), (404, 33), (500, "31;1"), (None, 31)])
def test_the_status_has_a_colour(status: int | None, colour: object) -> None:
    seen = observation()
    seen.status = status
    assert f"\x1b[{colour}m{status or 'gone'}" in brief_line(seen, NOW, colors=True)


def test_the_line_of_each_observation_is_as_it_was_at_its_end() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.make_line = JsonLine()
    before, seen, failed = time.time(), observation(), observation()
    failed.error = LookupError("secret")
    for ended in (seen, failed):
        ended.end()
        ended.release()
        lines.put(ended)
    after = time.time()
    time.sleep(0.01)
    lines.flush()
    assert stream.getvalue().count("\n") == 2
    first, second = map(json.loads, stream.getvalue().splitlines())
    for line in (first, second):
        assert before - 0.001 <= datetime.fromisoformat(line["timestamp"]).timestamp() <= after + 0.005
    assert "error" not in first
    assert second["error"] == "LookupError"
    assert "secret" not in stream.getvalue()


def test_addresses_of_many_clients_do_not_fill_the_memory() -> None:
    make_line = JsonLine()
    for number in range(2_500):
        address = f"2001:db8::{number:x}"
        line = make_line(observation(client=(address, 4711)), NOW)
        assert f'"client":"{address}"' in line
    assert len(make_line._clients) <= 1_000
