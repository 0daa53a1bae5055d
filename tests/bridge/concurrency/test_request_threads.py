# SPDX-License-Identifier: MIT
"""Threads of one request each."""

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from functools import partial
from unittest.mock import patch

import pytest

from ashapp.bridge.concurrency import request_threads as lanes_module
from ashapp.bridge.concurrency.request_threads import Lease, RequestThreads
from tests.support.waiting import eventually, until, until_set


async def thread_of(lease: Lease) -> threading.Thread:
    """Return the thread on which *lease* runs hand-offs, after all that has been submitted."""
    loop = asyncio.get_running_loop()
    thread: asyncio.Future[threading.Thread] = loop.create_future()

    def handoff() -> None:
        loop.call_soon_threadsafe(thread.set_result, threading.current_thread())

    lease.submit(handoff)
    async with asyncio.timeout(20):
        return await thread


@contextmanager
def busy(lease: Lease) -> Iterator[None]:
    """Keep the request thread of *lease* busy."""
    started, end = threading.Event(), threading.Event()

    def handoff() -> None:
        started.set()
        end.wait(20)

    lease.submit(handoff)
    assert started.wait(20)
    try:
        yield
    finally:
        end.set()


async def test_jobs_of_one_request_run_in_order_on_one_thread() -> None:
    lease = Lease(RequestThreads(4))
    seen: list[tuple[int, threading.Thread]] = []
    for number in range(100):
        lease.submit(lambda number=number: seen.append((number, threading.current_thread())))  # type: ignore[misc]
    thread = await thread_of(lease)

    assert seen == [(number, thread) for number in range(100)]
    assert thread is not threading.current_thread()


async def test_a_lane_survives_a_job_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    lease = Lease(RequestThreads(1))
    before = await thread_of(lease)

    def handoff() -> None:
        raise SystemExit("no")

    lease.submit(handoff)

    assert await thread_of(lease) == before
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_no_two_requests_share_a_lane() -> None:
    request_threads = RequestThreads(200)
    leases = [Lease(request_threads) for _ in range(200)]
    threads = await asyncio.gather(*map(thread_of, leases))

    assert len(set(threads)) == 200
    assert await asyncio.gather(*map(thread_of, leases)) == threads
    assert (request_threads.started, request_threads.busy, request_threads.queued) == (200, 200, 0)


async def test_past_the_limit_requests_wait_in_order() -> None:
    request_threads = RequestThreads(2)
    held = [Lease(request_threads), Lease(request_threads)]
    threads = [await thread_of(lease) for lease in held]
    waiting = [Lease(request_threads) for _ in range(3)]
    found = [asyncio.create_task(thread_of(lease)) for lease in waiting]
    await asyncio.sleep(0.02)
    assert not any(task.done() for task in found)
    assert request_threads.queued == 3

    for number, thread in enumerate([threads[0], threads[1], threads[0]]):
        (held[number] if number < 2 else waiting[0]).end()
        assert await found[number] == thread
    assert (request_threads.started, request_threads.queued) == (2, 0)


async def test_a_request_without_sync_parts_takes_none() -> None:
    request_threads = RequestThreads(1)
    lease = Lease(request_threads)
    assert request_threads.started == 0
    lease.end()
    assert lease.ended


async def test_one_lane_is_enough_for_one_request_after_the_other() -> None:
    request_threads = RequestThreads(8)
    for _ in range(20):
        lease = Lease(request_threads)
        await thread_of(lease)
        lease.end()
        await eventually(lambda: request_threads.busy == 0)

    assert request_threads.started == 1


async def test_a_lane_is_given_on_only_when_it_has_done_with_its_request() -> None:
    request_threads = RequestThreads(1)
    first, second = Lease(request_threads), Lease(request_threads)
    order: list[str] = []
    with busy(first):
        first.submit(lambda: order.append("first"))
        first.end()
        second.submit(lambda: order.append("second"))
        assert (request_threads.busy, request_threads.queued) == (1, 1)
    await thread_of(second)

    assert order == ["first", "second"]
    second.end()
    await eventually(lambda: request_threads.busy == 0)


async def test_a_job_that_waits_for_a_lane_can_be_withdrawn() -> None:
    request_threads = RequestThreads(1)
    first, second = Lease(request_threads), Lease(request_threads)
    await thread_of(first)
    ran = threading.Event()
    second.submit(ran.set)

    assert not first.withdraw(ran.set)
    assert second.withdraw(ran.set)
    assert not second.withdraw(ran.set)
    assert request_threads.queued == 0
    second.end()
    first.end()
    third = Lease(request_threads)
    await thread_of(third)
    assert not ran.is_set()


async def test_a_request_that_ends_while_it_waits_gives_its_lane_back() -> None:
    request_threads = RequestThreads(1)
    first, second = Lease(request_threads), Lease(request_threads)
    ran = threading.Event()
    with busy(first):
        second.submit(ran.set)
        second.end()
        first.end()
    await until_set(ran)
    await eventually(lambda: request_threads.busy == 0)


async def test_lanes_that_are_not_needed_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "_IDLE_TIME", 0.05)
    request_threads = RequestThreads(20)
    leases = [Lease(request_threads) for _ in range(20)]
    *threads, thread = await asyncio.gather(*map(thread_of, leases))
    kept = leases.pop()
    for lease in leases:
        lease.end()
    await eventually(lambda: request_threads.started == 1)

    assert await thread_of(kept) is thread
    await eventually(lambda: not any(thread.is_alive() for thread in threads))


def test_lanes_serve_one_loop_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "_IDLE_TIME", 0.05)
    request_threads = RequestThreads(1)

    async def use() -> None:
        lease = Lease(request_threads)
        await thread_of(lease)
        lease.end()
        await eventually(lambda: request_threads.busy == 0)

    asyncio.run(use())
    assert request_threads.started == 1

    async def use_and_wait() -> None:
        await use()
        await eventually(lambda: request_threads.started == 0)

    asyncio.run(use_and_wait())


def test_a_loop_that_ends_takes_no_lane_with_it() -> None:
    """Neither one that is still busy when its request ends, nor one for which a request waits there."""
    request_threads = RequestThreads(1)
    end = threading.Event()

    def hold() -> None:
        end.wait(20)

    async def leave() -> None:
        first, second = Lease(request_threads), Lease(request_threads)
        first.submit(hold)
        second.submit(lambda: None)
        first.end()

    async def use() -> threading.Thread:
        lease = Lease(request_threads)
        thread = await thread_of(lease)
        lease.end()
        return thread

    for _ in range(3):
        asyncio.run(leave())
        end.set()
        threads = {asyncio.run(use()) for _ in range(3)}
        assert len(threads) == 1
        end.clear()


async def test_no_timer_keeps_a_request_that_has_ended() -> None:
    request_threads = RequestThreads(1)
    variable: ContextVar[RequestThreads] = ContextVar("variable")
    in_context = RequestThreads(1)
    request = weakref.ref(in_context)
    context = Context()
    context.run(variable.set, in_context)
    lease = Lease(request_threads)
    await thread_of(lease)
    context.run(lease.end)
    await eventually(lambda: request_threads.busy == 0)
    del context, in_context
    gc.collect()

    assert request() is None


async def test_where_no_thread_starts_the_lanes_that_there_are_must_do() -> None:
    request_threads = RequestThreads(4)
    first, second = Lease(request_threads), Lease(request_threads)
    thread = await thread_of(first)
    with patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
        waiting = asyncio.create_task(thread_of(second))
        await asyncio.sleep(0)
        first.end()
        assert await waiting == thread
        none = Lease(RequestThreads(4))
        with pytest.raises(RuntimeError, match="no thread can be started"):
            none.submit(lambda: None)
    assert await thread_of(none) != thread


async def test_the_threads_end_with_the_lanes() -> None:
    request_threads = RequestThreads(2)
    before = set(threading.enumerate())
    leases = [Lease(request_threads) for _ in range(2)]
    for lease in leases:
        await thread_of(lease)
    threads = set(threading.enumerate()) - before
    for lease in leases:
        lease.end()
    await eventually(partial(lambda request_threads: request_threads.busy == 0, request_threads))

    reference = weakref.ref(request_threads)
    del request_threads, lease, leases
    await eventually(lambda: [gc.collect(), reference() is None][1])
    until(lambda: not any(thread.is_alive() for thread in threads))


def test_a_limit_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="async_threads is 0: expected 1 or more"):
        RequestThreads(0)
