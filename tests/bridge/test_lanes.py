# SPDX-License-Identifier: MIT
"""Threads that requests share."""

import asyncio
import gc
import logging
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from functools import partial
from unittest.mock import patch

import pytest

from ashapp.bridge import lanes as lanes_module
from ashapp.bridge.lanes import Lane, Lanes, Lease
from tests.support.waiting import until


def thread_of(lane: Lane | Lease) -> int:
    """Return the thread of *lane*, after all that has been submitted."""
    idents: list[int] = []
    lane.submit(lambda: idents.append(threading.get_ident()))
    until(lambda: idents)
    return idents[0]


def acquire(lanes: Lanes) -> Lane:
    lane = lanes.acquire()
    assert lane is not None
    return lane


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
    lane = acquire(lanes)
    seen: list[tuple[int, int]] = []
    for number in range(100):
        lane.submit(lambda number=number: seen.append((number, threading.get_ident())))  # type: ignore[misc]
    until(lambda: len(seen) == 100)

    assert [number for number, _ in seen] == list(range(100))
    assert {ident for _, ident in seen} == {thread_of(lane)}
    assert thread_of(lane) != threading.get_ident()


def test_pending_counts_what_is_not_done() -> None:
    lanes = Lanes(1)
    lane = acquire(lanes)
    with busy(lane):
        lane.submit(lambda: None)
        assert lane.pending == 2
    until(lambda: lane.pending == 0)


def test_a_lane_survives_a_job_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    lanes = Lanes(1)
    lane = acquire(lanes)
    before = thread_of(lane)

    def job() -> None:
        raise SystemExit("no")

    lane.submit(job)

    assert thread_of(lane) == before
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    until(lambda: lane.pending == 0)


def test_a_request_gets_a_lane_that_no_other_has() -> None:
    lanes = Lanes(3)
    held = [acquire(lanes) for _ in range(3)]

    assert len({id(lane) for lane in held}) == 3
    lanes.release(held[1])
    assert acquire(lanes) is held[1]


def test_a_lane_whose_request_has_ended_but_that_is_busy_is_not_free() -> None:
    lanes = Lanes(2)
    lane = acquire(lanes)
    with busy(lane):
        lanes.release(lane)
        assert acquire(lanes) is not lane


def test_past_their_number_requests_share_where_nothing_runs() -> None:
    lanes = Lanes(2)
    first, second = acquire(lanes), acquire(lanes)
    lanes.release(second)
    assert acquire(lanes) is second
    assert [acquire(lanes) for _ in range(2)] == [first, second]


def wait_for(lanes: Lanes, count: int) -> list[asyncio.Future[int]]:
    """Let *count* requests submit two jobs each; return the threads on which the second ones will run."""
    loop = asyncio.get_running_loop()
    threads: list[asyncio.Future[int]] = [loop.create_future() for _ in range(count)]

    def job(future: asyncio.Future[int]) -> None:
        loop.call_soon_threadsafe(future.set_result, threading.get_ident())

    for future in threads:
        lease = Lease(lanes)
        lease.submit(lambda: None)
        lease.submit(partial(job, future))
    return threads


async def test_one_more_waits_for_a_lane_that_is_freed() -> None:
    lanes = Lanes(1)
    lane = acquire(lanes)
    with busy(lane):
        [first, second] = wait_for(lanes, 2)
        await asyncio.sleep(0)
        assert not first.done()
    until(lambda: lane.pending == 0)
    lanes.release(lane)
    async with asyncio.timeout(20):
        assert await first == await second == thread_of(lane)
    assert lane.requests == 2


async def test_it_shares_if_what_runs_is_quick() -> None:
    lanes = Lanes(1)
    lane = acquire(lanes)
    with busy(lane):
        [first] = wait_for(lanes, 1)
    async with asyncio.timeout(20):
        assert await first == thread_of(lane)


async def test_there_are_more_where_lanes_are_stuck() -> None:
    lanes = Lanes(2)
    stuck = [acquire(lanes), acquire(lanes)]
    with busy(stuck[0]), busy(stuck[1]):
        waiting = wait_for(lanes, 20)
        async with asyncio.timeout(20):
            idents = {await future for future in waiting[:14]}
        assert len(idents) == 14
        assert not any(future.done() for future in waiting[14:])
    async with asyncio.timeout(20):
        idents |= {await future for future in waiting[14:]}
    assert len(idents) <= 16


async def test_one_that_waits_for_what_comes_after_it_on_its_lane_is_relieved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a hook for a pooled connection that the teardown of another request on the same lane gives back."""
    monkeypatch.setattr(lanes_module, "_HOPELESS", 0.05)
    lanes = Lanes(1)
    before = set(threading.enumerate())
    holder, taker, late = (Lease(lanes) for _ in range(3))
    thread_of(holder)
    given_back, taken, done = threading.Event(), threading.Event(), threading.Event()
    until(lambda: not any(lane.pending for lane in lanes._lanes))

    def take() -> None:
        if given_back.wait(20):
            taken.set()

    taker.submit(take)
    holder.submit(given_back.set)
    assert await asyncio.to_thread(taken.wait, 20)
    [lane] = lanes._lanes
    until(lambda: lane.pending == 0)
    late.submit(done.set)
    assert await asyncio.to_thread(done.wait, 20)
    until(lambda: sum(t.name.startswith("ashapp-lane") for t in set(threading.enumerate()) - before) == 1)


async def test_jobs_of_one_request_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "_HOPELESS", 0.01)
    lease = Lease(Lanes(1))
    idents = [thread_of(lease)]
    done = threading.Event()
    lease.submit(lambda: time.sleep(0.2))
    lease.submit(lambda: idents.append(threading.get_ident()))
    lease.submit(done.set)
    assert await asyncio.to_thread(done.wait, 20)

    assert len(set(idents)) == 1


async def test_a_lane_that_is_relieved_may_be_so_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lanes_module, "_HOPELESS", 0.05)
    lanes = Lanes(1)
    leases = [Lease(lanes) for _ in range(4)]
    for lease in leases:
        thread_of(lease)
        until(lambda: not any(lane.pending for lane in lanes._lanes))
    end, ended = threading.Event(), threading.Barrier(4)

    def job() -> None:
        end.wait(20)
        ended.wait(20)

    for lease in leases[:3]:
        lease.submit(job)
    leases[3].submit(end.set)
    await asyncio.to_thread(ended.wait, 20)

    assert [record.getMessage() for record in caplog.records] == [
        "ashapp-lane-1 has been stuck in one callable for 0.05 s: relieved"
    ] * 3
    [lane] = lanes._lanes
    until(lambda: lane.pending == 0)
    assert thread_of(leases[0]) == thread_of(leases[1])


async def test_where_no_thread_starts_a_lane_is_not_relieved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "_HOPELESS", 0.01)
    lanes = Lanes(1)
    first, second = Lease(lanes), Lease(lanes)
    before = {thread_of(first), thread_of(second)}
    until(lambda: not any(lane.pending for lane in lanes._lanes))
    end = threading.Event()

    def job() -> None:
        end.wait(20)

    with patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
        first.submit(job)
        second.submit(lambda: None)
        await asyncio.sleep(0.1)
    end.set()

    assert {thread_of(first), thread_of(second)} == before


@pytest.mark.parametrize("shared", [True, False])
async def test_no_timer_keeps_a_request_that_has_ended(shared: bool) -> None:  # noqa: FBT001
    """Whoever waits next may be in another request, or in none: what a timer does is nobody's own."""
    lanes = Lanes(1)
    lane = acquire(lanes)
    leases = [Lease(lanes), Lease(lanes)]
    if shared:
        for lease in leases:
            thread_of(lease)
            until(lambda: not lane.pending)
    variable: ContextVar[Lanes] = ContextVar("variable")
    in_context = Lanes(1)
    request = weakref.ref(in_context)
    context = Context()
    context.run(variable.set, in_context)
    with busy(lane):
        for lease in leases:
            context.run(lease.submit, lambda: None)
        del context, in_context
        gc.collect()
        assert (lanes._relief if shared else lanes._timer) is not None
        assert request() is None


async def test_a_lane_that_is_only_slow_keeps_its_thread() -> None:
    lanes = Lanes(1)
    first, second = Lease(lanes), Lease(lanes)
    ident = thread_of(first)
    until(lambda: not any(lane.pending for lane in lanes._lanes))
    first.submit(lambda: time.sleep(0.2))
    second.submit(lambda: None)
    await asyncio.sleep(0.3)

    assert thread_of(first) == ident


async def test_those_that_are_too_many_end_with_their_requests() -> None:
    lanes = Lanes(2)
    before = set(threading.enumerate())
    stuck = [acquire(lanes), acquire(lanes)]
    leases = [Lease(lanes) for _ in range(5)]
    done = asyncio.Queue[None]()
    loop = asyncio.get_running_loop()

    def note() -> None:
        loop.call_soon_threadsafe(done.put_nowait, None)

    with busy(stuck[0]), busy(stuck[1]):
        for lease in leases:
            lease.submit(note)
        async with asyncio.timeout(20):
            for _ in leases:
                await done.get()
        assert len(set(threading.enumerate()) - before) == 7
        for lease in leases:
            lease.end()
    until(lambda: len(set(threading.enumerate()) - before) == 2)


async def test_a_lease_that_ends_while_it_waits_gives_its_lane_back() -> None:
    lanes = Lanes(1)
    lane = acquire(lanes)
    ran = threading.Event()
    with busy(lane):
        lease = Lease(lanes)
        lease.submit(ran.set)
        lease.end()
    await asyncio.to_thread(ran.wait, 20)
    assert ran.is_set()
    assert lane.requests == 1


def test_one_lane_is_enough_for_one_request_after_the_other() -> None:
    lanes = Lanes(8)
    before = set(threading.enumerate())
    for _ in range(20):
        lease = Lease(lanes)
        thread_of(lease)
        until(lambda: not any(lane.pending for lane in lanes._lanes))
        lease.end()

    assert len(set(threading.enumerate()) - before) == 1


def test_a_lease_takes_its_lane_at_first_use() -> None:
    lanes = Lanes(2)
    before = set(threading.enumerate())
    lease = Lease(lanes)
    assert set(threading.enumerate()) <= before

    assert thread_of(lease) == thread_of(lease)
    [lane] = lanes._lanes
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
    lane = acquire(lanes)
    with patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
        assert acquire(lanes) is lane
        with pytest.raises(RuntimeError, match="no thread can be started"):
            acquire(Lanes(4))


def test_the_threads_end_with_the_lanes() -> None:
    lanes = Lanes(2)
    before = set(threading.enumerate())
    for _ in range(2):
        thread_of(acquire(lanes))
    threads = set(threading.enumerate()) - before
    assert len(threads) == 2

    del lanes
    gc.collect()
    until(lambda: not any(thread.is_alive() for thread in threads))
