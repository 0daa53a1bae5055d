# SPDX-License-Identifier: MIT
from ashapp.observe.metrics.errors import RecentError, RecentErrors


def test_equal_errors_are_one_and_the_last_ten_are_kept() -> None:
    errors = RecentErrors()
    for number in range(12):
        errors.note(RecentError("/", 500 + number, number))
    errors.note(RecentError("/", 505, 20.0))
    assert errors.newest()[0] == RecentError("/", 505, 20.0, times=2)
    assert [error.status for error in errors.newest()] == [505, 511, 510, 509, 508, 507, 506, 504, 503, 502]


def test_those_of_several_workers_are_merged_by_time() -> None:
    one = [RecentError("/a", 500, 5.0, times=2), RecentError("/b", 404, 1.0)]
    other = [RecentError("/a", 500, 4.0), RecentError("/c", 418, 4.5)]
    assert RecentErrors.merge([*one, *other]) == [
        RecentError("/a", 500, 5.0, times=3),
        RecentError("/c", 418, 4.5),
        RecentError("/b", 404, 1.0),
    ]
