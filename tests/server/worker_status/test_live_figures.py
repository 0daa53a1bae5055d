# SPDX-License-Identifier: MIT
import time

from ashapp.observe.metrics.errors import RecentError
from ashapp.server.worker_status.live_figures import live_figures
from ashapp.server.worker_status.workers import LocalWorker, WorkerStatus


def test_the_figures_are_those_of_all_workers() -> None:
    class Service(LocalWorker):
        def statuses(self) -> list[WorkerStatus]:
            return [
                WorkerStatus(
                    *(pid, time.monotonic() - age, reason),
                    load={"active_requests": 2, "websockets": 3},
                    requests=[("/b", "thread", 10, 1.0), ("/a", place, 20, 2.0)],
                    errors=[RecentError("/a", 500, 1.0)],
                )
                for pid, age, reason, place in (
                    (1, 0, None, "loop"),
                    (2, 0, "draining", "thread"),
                    (3, 5, None, "loop"),  # its loop is blocked
                )
            ]

    figures = live_figures(Service())
    assert time.time() - figures.pop("time") < 60
    assert 0 <= figures.pop("uptime") < 60
    assert figures == {
        "workers": 3,
        "ready": 2,
        "active": 6,
        "websockets": 9,
        "places": {"loop": 2, "thread": 4},
        "routes": [
            {"route": "/a", "place": "loop", "rate": 2, "total": 40},
            {"route": "/a", "place": "thread", "rate": 2, "total": 20},
            {"route": "/b", "place": "thread", "rate": 2, "total": 30},
        ],
        "errors": [{"route": "/a", "status": 500, "time": 1.0, "times": 3}],
    }
