# SPDX-License-Identifier: MIT
import time

import pytest

from ashapp.observe.metrics.errors import RecentError
from ashapp.server.worker_status.live_figures import Figures, Rates
from ashapp.server.worker_status.workers import LocalWorker, WorkerStatus

LOOP, THREAD = ("/a", "loop"), ("/a", "thread")


def told(at: float, on_loop: int, on_threads: int = 0, pid: int = 1, started: float = 100.0) -> WorkerStatus:
    requests = [(*LOOP, on_loop), (*THREAD, on_threads)]
    return WorkerStatus(pid, at, None, started=started, written=at, requests=requests)


@pytest.mark.parametrize(
    ("looks", "rates"),
    [
        # The mean since the start, then from one status to the next.
        ([[told(110, 20)]], (2, 0)),
        ([[told(110, 20)], [told(112, 24, 3)]], (2, 1.5)),
        # Whoever looks twice at one status sees the same.
        ([[told(110, 20)], [told(112, 24)], [told(112, 24)]], (2, 0)),
        # Each worker by its own clock.
        ([[told(110, 0), told(109, 0, pid=2)], [told(111, 1), told(111, 8, 2, pid=2)]], (5, 1)),
        # One that ends takes its counts along; one that begins has a mean.
        ([[told(110, 10), told(110, 90, pid=2)], [told(111, 13)]], (3, 0)),
        ([[told(110, 10)], [told(111, 13), told(111, 8, pid=2, started=109)]], (7, 0)),
        # Another one of the same number.
        ([[told(110, 900)], [told(114, 6, started=112)]], (3, 0)),
        ([[told(100, 0)]], (0, 0)),
        ([[]], (0, 0)),
    ],
)
def test_rates_come_of_what_each_worker_has_told_last(
    looks: list[list[WorkerStatus]], rates: tuple[float, float]
) -> None:
    seen = Rates()
    for statuses in looks:
        found = seen.note(statuses, max((status.written for status in statuses), default=0))
    assert (found.get(LOOP, 0), found.get(THREAD, 0)) == rates


def test_a_worker_that_has_told_nothing_for_long_has_no_rates() -> None:
    rates = Rates()
    assert rates.note([told(110, 20)], now=114)
    assert not rates.note([told(110, 20)], now=115)


def test_the_figures_are_those_of_all_workers() -> None:
    class Service(LocalWorker):
        def statuses(self) -> list[WorkerStatus]:
            now = time.monotonic()
            return [
                WorkerStatus(
                    *(pid, now, reason),
                    load={"active_requests": 2, "websockets": 3},
                    started=now - 10,
                    written=now,
                    requests=[("/b", "thread", 10), ("/a", place, 20)],
                    errors=[RecentError("/a", 500, 1.0)],
                )
                for pid, reason, place in ((1, None, "loop"), (2, "draining", "thread"))
            ]

    figures = Figures(Service()).look()
    assert time.time() - figures.pop("time") < 60
    assert 0 <= figures.pop("uptime") < 60
    assert figures == {
        "workers": 2,
        "ready": 1,
        "active": 4,
        "websockets": 6,
        "places": pytest.approx({"loop": 2, "thread": 4}),
        "routes": [
            {"route": "/a", "place": "loop", "rate": pytest.approx(2), "total": 20},
            {"route": "/a", "place": "thread", "rate": pytest.approx(2), "total": 20},
            {"route": "/b", "place": "thread", "rate": pytest.approx(2), "total": 20},
        ],
        "errors": [{"route": "/a", "status": 500, "time": 1.0, "times": 2}],
    }
