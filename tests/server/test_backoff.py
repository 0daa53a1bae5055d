# SPDX-License-Identifier: MIT
from ashapp.server.backoff import BackOff


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_worker_that_has_lived_is_replaced_at_once() -> None:
    back_off = BackOff(0, Clock())
    assert [back_off.died(age) for age in (10, 3600)] == [0, 0]


def test_workers_that_die_soon_are_replaced_less_and_less_often() -> None:
    back_off = BackOff(2, Clock())
    assert [back_off.died(1) for _ in range(9)] == [0, 0, 1, 2, 4, 8, 16, 30, 30]


def test_the_wait_is_over_when_its_time_has_passed() -> None:
    clock = Clock()
    back_off = BackOff(0, clock)
    back_off.died(0)
    clock.now += 0.75
    assert back_off.seconds == 0.25
    clock.now += 5
    assert back_off.seconds == 0


def test_a_worker_that_survives_ends_the_back_off() -> None:
    clock = Clock()
    back_off = BackOff(1, clock)
    assert [back_off.died(1) for _ in range(3)] == [0, 1, 2]
    clock.now += 2
    back_off.survived()
    assert back_off.died(1) == 0
