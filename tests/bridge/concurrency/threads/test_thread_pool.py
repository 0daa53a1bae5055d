# SPDX-License-Identifier: MIT
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait

import pytest

from ashapp.bridge.concurrency.threads.thread_pool import ThreadPool
from tests.support.waiting import PATIENCE, until


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What blocking hand-offs wait for; it opens at the end, so that no thread stays behind."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads take turns a thousand times as often, so that races show."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
def test_blocking_hand_offs_among_quick_ones_meet_each_other() -> None:
    # Each round passes only if all threads are running at the same time: no wake-up may be lost.
    size = 8
    pool = ThreadPool(size)
    barrier = threading.Barrier(size)
    for _ in range(100):
        handoffs = [lambda: barrier.wait(PATIENCE), lambda: 0] * size
        assert not wait([pool.call(handoff) for handoff in handoffs], PATIENCE).not_done
    assert pool.started == size


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("size", [1, 2, 8])
def test_no_wake_up_is_lost_under_many_submitters(size: int) -> None:
    pool = ThreadPool(size)
    done = itertools.count(1)
    total, finished = 12_000, threading.Event()

    def handoff() -> None:
        if next(done) == total:
            finished.set()

    def submit() -> None:
        for _ in range(total // 3):
            pool.submit(handoff)

    submitters = [threading.Thread(target=submit) for _ in range(3)]
    for thread in submitters:
        thread.start()
    for thread in submitters:
        thread.join()
    assert finished.wait(PATIENCE)
    assert pool.queued == 0
    assert pool.started <= size


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("size", [1, 4])
def test_no_wake_up_is_lost_between_rest_and_work(size: int) -> None:
    pool = ThreadPool(size)
    for _ in range(2000):
        pool.call(lambda: None).result(PATIENCE)


def test_a_pool_may_be_collected_on_a_thread_of_its_own(gate: threading.Event) -> None:
    pools = [ThreadPool(1)]
    future = pools[0].call(lambda: (gate.wait(PATIENCE), pools.pop(), threading.current_thread())[2])
    gate.set()
    thread = future.result(PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_threads_that_are_dismissed_end_and_others_take_their_place(gate: threading.Event) -> None:
    pool = ThreadPool(3)
    busy = [pool.call(lambda: (gate.wait(PATIENCE), threading.current_thread())[1]) for _ in range(2)]
    idle = pool.call(threading.current_thread).result(PATIENCE)
    until(lambda: pool.busy == 2)
    pool.dismiss()
    idle.join(PATIENCE)
    assert (idle.is_alive(), pool.started, pool.busy) == (False, 2, 2)
    assert pool.call(threading.current_thread).result(PATIENCE) is not idle
    gate.set()
    assert all(future.result(PATIENCE).is_alive() for future in busy)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_failing_hand_off_is_logged_and_costs_no_thread(
    caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    pool = ThreadPool(1)

    def fail() -> None:
        raise error("oops")

    before = pool.call(threading.get_ident)
    pool.submit(fail)
    assert pool.call(threading.get_ident).result(PATIENCE) == before.result()
    (record,) = caplog.records
    assert record.getMessage() == "a hand-off failed on ashapp-worker-1"
    assert record.exc_info
    assert record.exc_info[0] is error


@pytest.fixture
def no_thread(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Let no further thread start: the function given is called where one should have."""

    def forbid(meanwhile: Callable[[], None] = lambda: None) -> None:
        def start(thread: threading.Thread) -> None:
            meanwhile()
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", start)

    return forbid


def test_a_thread_that_does_not_start_loses_no_hand_off(
    gate: threading.Event, no_thread: Callable[..., None]
) -> None:
    pool = ThreadPool(2)
    pool.call(lambda: gate.wait(PATIENCE))
    late = threading.Event()

    def meanwhile() -> None:
        # While the second thread is thought to be on its way the first one finds nothing to do.
        gate.set()
        until(lambda: pool.queued == 0)
        pool.submit(late.set)

    no_thread(meanwhile)
    pool.submit(lambda: None)
    assert late.wait(PATIENCE)
