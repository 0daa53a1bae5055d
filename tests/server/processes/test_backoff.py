# SPDX-License-Identifier: MIT
from ashapp.server.processes.backoff import BackOff


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_workers_that_do_not_get_to_serve_are_started_less_and_less_often() -> None:
    back_off = BackOff(2, Clock())
    assert [back_off.failed() for _ in range(9)] == [0, 0, 1, 2, 4, 8, 16, 30, 30]


def test_the_wait_is_over_when_its_time_has_passed() -> None:
    clock = Clock()
    back_off = BackOff(0, clock)
    back_off.failed()
    clock.now += 0.75
    assert back_off.seconds == 0.25
    clock.now += 5
    assert back_off.seconds == 0


def test_a_worker_that_serves_ends_the_back_off() -> None:
    back_off = BackOff(1, Clock())
    assert [back_off.failed() for _ in range(3)] == [0, 1, 2]
    back_off.succeeded()
    assert back_off.seconds == 0
    assert back_off.failed() == 0
