# SPDX-License-Identifier: MIT
"""Threads that requests share."""

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from ashapp.bridge.lanes import Lane, Lanes, Lease
from tests.support.waiting import until


def thread_of(lane: Lane) -> int:
    """Return the thread of *lane*, after all that has been submitted."""
    idents: list[int] = []
    lane.submit(lambda: idents.append(threading.get_ident()))
    until(lambda: idents)
    return idents[0]


@contextmanager
def busy(lane: Lane) -> Iterator[None]:
    """Keep *lane* busy."""
    started, end = threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        end.wait(20)

    lane.submit(job)
    assert started.wait(20)
    yield
    end.set()


def test_a_lane_runs_jobs_in_order_on_one_thread() -> None:
    lanes = Lanes(1)
    lane = lanes.acquire()
    seen: list[tuple[int, int]] = []
    for number in range(100):
        lane.submit(lambda number=number: seen.append((number, threading.get_ident())))  # type: ignore[misc]
    until(lambda: len(seen) == 100)

    assert [number for number, _ in seen] == list(range(100))
    assert {ident for _, ident in seen} == {thread_of(lane)}
    assert thread_of(lane) != threading.get_ident()


def test_pending_counts_what_is_not_done() -> None:
    lanes = Lanes(1)
    lane = lanes.acquire()
    with busy(lane):
        lane.submit(lambda: None)
        assert lane.pending == 2
    until(lambda: lane.pending == 0)


def test_a_lane_survives_a_job_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    lanes = Lanes(1)
    lane = lanes.acquire()
    before = thread_of(lane)

    def job() -> None:
        raise SystemExit("no")

    lane.submit(job)

    assert thread_of(lane) == before
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    until(lambda: lane.pending == 0)


def test_a_request_gets_a_lane_that_no_other_has() -> None:
    lanes = Lanes(3)
    held = [lanes.acquire() for _ in range(3)]

    assert len({id(lane) for lane in held}) == 3
    lanes.release(held[1])
    assert lanes.acquire() is held[1]


def test_a_lane_whose_request_has_ended_but_that_is_busy_is_not_free() -> None:
    lanes = Lanes(2)
    lane = lanes.acquire()
    with busy(lane):
        lanes.release(lane)
        assert lanes.acquire() is not lane


def test_past_their_number_requests_share_the_lane_with_the_least_to_do() -> None:
    lanes = Lanes(2)
    first, second = lanes.acquire(), lanes.acquire()
    with busy(first):
        assert [lanes.acquire() for _ in range(3)] == [second] * 3
    until(lambda: first.pending == 0)
    assert lanes.acquire() is first


def test_one_lane_is_enough_for_one_request_after_the_other() -> None:
    lanes = Lanes(8)
    before = set(threading.enumerate())
    for _ in range(20):
        lease = Lease(lanes)
        thread_of(lease.lane())
        until(lambda lease=lease: lease.lane().pending == 0)  # type: ignore[misc]
        lease.end()

    assert len(set(threading.enumerate()) - before) == 1


def test_a_lease_takes_its_lane_at_first_use() -> None:
    lanes = Lanes(2)
    before = set(threading.enumerate())
    lease = Lease(lanes)
    assert set(threading.enumerate()) <= before

    lane = lease.lane()
    assert lease.lane() is lane
    assert lane.requests == 1
    lease.end()
    assert lane.requests == 0
    assert lease.ended


def test_a_lease_that_was_not_used_gives_nothing_back() -> None:
    lease = Lease(Lanes(1))
    lease.end()

    assert lease.ended


def test_where_no_thread_starts_the_lanes_that_there_are_must_do() -> None:
    lanes = Lanes(4)
    lane = lanes.acquire()
    with patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
        assert lanes.acquire() is lane
        with pytest.raises(RuntimeError, match="no thread can be started"):
            Lanes(4).acquire()


def test_the_threads_end_with_the_lanes() -> None:
    lanes = Lanes(2)
    before = set(threading.enumerate())
    for _ in range(2):
        thread_of(lanes.acquire())
    threads = set(threading.enumerate()) - before
    assert len(threads) == 2

    del lanes
    gc.collect()
    until(lambda: not any(thread.is_alive() for thread in threads))
