# SPDX-License-Identifier: MIT
import json
import time

from ashapp.server.health.readiness_runner import Outcome
from ashapp.server.management.worker_status import Status


def test_a_status_is_the_same_after_it_has_been_written_and_read() -> None:
    checks = [Outcome("database", None, 0.002, 1.5), Outcome("cache", "OSError: gone", 2.0, 2.5)]
    status = Status(7, 3.25, "saturated", 4, 3, 2, 1, checks, 5, {"slow": "it blocks"})
    assert Status.parse(status.dump()) == status


def test_what_a_newer_worker_tells_besides_is_left_out() -> None:
    status = Status(7, 3.25, None)
    values = {**json.loads(status.dump()), "news": 1}
    del values["unwritten"]
    assert Status.parse(json.dumps(values)) == status


def test_its_age_is_the_time_since_the_loop_was_seen_to_run() -> None:
    assert 10 <= Status(7, time.monotonic() - 10, None).age < 20
