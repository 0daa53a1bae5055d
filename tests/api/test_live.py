# SPDX-License-Identifier: MIT
import re
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from ashapp.api.live import Live
from ashapp.testing import AsyncClient
from tests.support.problem_details import assert_problem

FIGURES = {
    "time": 1_790_000_000.0,
    "uptime": 93_780.0,
    "workers": 3,
    "ready": 2,
    "active": 1234,
    "websockets": 7,
    "places": {"loop": 2.5, "thread": 40.0},
    "routes": [
        {"route": "", "place": "server", "rate": 0.0, "total": 1},
        {"route": "/delay/<seconds>", "place": "loop", "rate": 2.5, "total": 12_345},
        {"route": "/version", "place": "thread", "rate": 40.0, "total": 5},
    ],
    "errors": [{"route": "/status/<code>", "status": 503, "time": 1_790_000_000.0, "times": 3}],
}
IDLE = {**FIGURES, "places": {}, "routes": [], "errors": []}


class Looks:
    """What the server sees, and how often it was asked."""

    def __init__(self, figures: Mapping[str, Any] = FIGURES) -> None:
        self.count = 0
        self._figures = figures

    def __call__(self) -> Mapping[str, Any]:
        self.count += 1
        return self._figures


@pytest.fixture
def live(app: Flask) -> Live:
    found: Live = app.extensions["ashapp.live"]
    return found


def test_the_figures_are_there_for_a_reader(live: Live) -> None:
    live.look = Looks()
    text = " ".join(re.sub(r"<[^>]*>", " ", live.figures()).split())
    for words in (
        "Requests per second 42 In flight 1,234 Open WebSockets 7 Workers ready 2 of 3 Uptime 1 d 2 h",
        "14:13:20 UTC",
        "loop 2.5 thread 40 server 0",
        "no route server 0 1 /delay/&lt;seconds&gt; loop 2.5 12,345 /version thread 40 5",
        "503 /status/&lt;code&gt; 3 14:13:20",
    ):
        assert words in text


def test_where_nothing_has_happened_that_is_said(live: Live) -> None:
    live.look = Looks(IDLE)
    text = live.figures()
    assert "<path" not in text
    assert "None." in text


def test_one_look_is_enough_for_all_who_watch(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    look = live.look = Looks()
    now = 1000.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("ashapp.api.live.time", clock)
    assert len({live.figures() for _ in range(50)}) == look.count == 1
    for second in range(1, 201):
        now = 1000.0 + second
        live.figures()
    assert look.count == 201
    assert re.findall(r'<path class="(\w+)" d="M(\S+)', live.figures()) == [
        ("loop", "0.0"),
        ("thread", "0.0"),
    ]
    now = 1300.0  # nobody has looked meanwhile
    assert "<path" not in live.figures()


async def test_the_figures_come_as_events_until_the_client_goes(app: Flask, live: Live) -> None:
    live.look = Looks()
    async with AsyncClient(app) as client, client.stream("GET", "/live?count=600") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        for _ in range(2):
            assert [line async for line in _until(lines, "data: </figure>")]
        assert live.viewers == 1
    assert live.viewers == 0


async def _until(lines: AsyncIterator[str], last: str) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line == last:
            return


def test_there_are_only_so_many_viewers(app: Flask, live: Live) -> None:
    live.look = Looks()
    app.config["MAX_VIEWERS"] = 1
    assert live.join(1)
    response = app.test_client().get("/live")
    assert_problem(response, 503, "watched by 1 already")
    assert response.headers["Retry-After"] == "10"
    live.leave()
    with app.test_client().head("/live") as answer:
        assert (answer.status_code, live.viewers) == (200, 1)
    assert live.viewers == 0


@pytest.mark.parametrize("is_on", [True, False])
def test_where_nothing_counts_there_are_no_figures_and_without_a_page_there_is_json(
    app: Flask, *, is_on: bool
) -> None:
    app.config["LIVE_PAGE"] = is_on
    with app.test_client().get("/live") as response:
        assert response.get_data(as_text=True) == "retry: 1000\n\n"
    page = app.test_client().get("/", headers={"Accept": "text/html"})
    assert page.mimetype == ("text/html" if is_on else "application/json")
    assert "<script" not in page.text
