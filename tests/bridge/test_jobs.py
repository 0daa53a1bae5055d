# SPDX-License-Identifier: MIT
"""What a fiber has done elsewhere."""

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from contextvars import ContextVar, copy_context
from functools import partial
from types import coroutine
from typing import Any

import pytest
from asgiref.sync import SyncToAsync

from ashapp.bridge.exchange import current_exchange
from ashapp.bridge.jobs import Job, LaneJob, TaskJob
from ashapp.bridge.lanes import Lanes, Lease

variable = ContextVar("variable", default="unset")


class Exchange:
    """As much of an exchange as a job needs."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.context = copy_context()
        self.tearing_down = False
        self.lease = Lease(Lanes(1))
        self.lane = lambda: self.lease


@pytest.fixture
async def exchange() -> Any:
    return Exchange()


async def done(job: Job, exchange: Any) -> Job:
    """Do the job, as the driving task does, and return it."""
    job.start(exchange)
    async with asyncio.timeout(20):
        while not job.done:
            await _wait(job, exchange)
    return job


async def do(job: Job, exchange: Any) -> Any:
    """Do the job, and return what it returned or raise what it raised, as in the fiber."""
    return (await done(job, exchange)).result()


@coroutine
def _wait(job: Job, exchange: Any) -> Generator[Any, Any, None]:
    yield from job.wait(exchange.loop)


def on_lane(function: Callable[..., Any], *args: Any, **kwargs: Any) -> LaneJob:
    return LaneJob(function, args, kwargs)


def as_task(function: Callable[..., Any], *args: Any, **kwargs: Any) -> TaskJob:
    async def run() -> Any:
        await asyncio.sleep(0)
        return function(*args, **kwargs)

    return TaskJob(run())


both = pytest.mark.parametrize("make", [on_lane, as_task])


@both
async def test_it_returns_what_the_function_returns(exchange: Any, make: Callable[..., Job]) -> None:
    assert await do(make(divmod, 7, 2), exchange) == (3, 1)
    assert await do(make(dict, a=1), exchange) == {"a": 1}


@both
@pytest.mark.parametrize("error", [LookupError, StopIteration, SystemExit, asyncio.CancelledError])
async def test_it_raises_what_the_function_raises(
    exchange: Any, make: Callable[..., Job], error: type[BaseException]
) -> None:
    def fail() -> None:
        raise error("reason")

    job = await done(make(fail), exchange)

    if make is as_task and error is StopIteration:
        error = RuntimeError  # what a coroutine makes of it
    with pytest.raises(error) as raised:
        job.result()
    assert error is RuntimeError or raised.traceback[-1].name == "fail"


@both
async def test_it_runs_in_the_context_that_asks_for_it(exchange: Any, make: Callable[..., Job]) -> None:
    context = copy_context()
    context.run(variable.set, "entered")

    assert await do(context.run(make, variable.get), exchange) == "entered"
    await do(context.run(make, variable.set, "job"), exchange)
    assert context[variable] == "job"
    assert variable.get() == "unset"


@both
async def test_it_finds_what_its_caller_handles(exchange: Any, make: Callable[..., Job]) -> None:
    error = LookupError()
    try:
        raise error
    except LookupError:
        traceback = error.__traceback__
        handled, found = await do(make(lambda: (sys.exception(), error.__traceback__)), exchange)
    assert handled is error
    assert found is traceback
    assert await do(make(sys.exception), exchange) is None


@both
async def test_it_leaves_no_cycle(exchange: Any, make: Callable[..., Job]) -> None:
    class Target:
        def fail(self) -> None:
            raise LookupError

    target = Target()
    gone = weakref.ref(target)
    job = make(target.fail)
    del target
    gc.disable()
    try:
        with pytest.raises(LookupError) as raised:
            await do(job, exchange)
        del raised, job
        await asyncio.sleep(0)
        await do(on_lane(int), exchange)  # so that the lane has let go of what it did
        assert gone() is None
    finally:
        gc.enable()


async def test_a_lane_knows_the_exchange_and_the_loop(exchange: Any) -> None:
    def look() -> tuple[Any, ...]:
        return (
            current_exchange(),
            SyncToAsync.threadlocal.main_event_loop.loop,
            threading.current_thread() is threading.main_thread(),
        )

    assert await do(on_lane(look), exchange) == (exchange, exchange.loop, False)
    exchange.lane().submit(lambda: seen.append(current_exchange()))
    seen: list[Any] = []
    await do(on_lane(int), exchange)
    assert seen == [None]


async def test_a_cancellation_ends_the_wait_not_the_job(exchange: Any) -> None:
    go = threading.Event()
    job = on_lane(go.wait, 20)
    job.start(exchange)
    waiting = asyncio.ensure_future(_wait(job, exchange))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not job.done
    go.set()
    await _wait(job, exchange)

    assert job.done
    assert job.result() is True


async def test_to_leave_a_job_ends_the_wait(exchange: Any) -> None:
    go = threading.Event()
    job = on_lane(go.wait, 20)
    job.leave()  # nobody waits yet
    job.start(exchange)
    waiting = asyncio.ensure_future(_wait(job, exchange))
    await asyncio.sleep(0)
    job.leave()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()


async def test_a_lane_job_says_what_it_does(exchange: Any) -> None:
    assert str(on_lane(threading.Event.wait)) == "Event.wait"
    assert str(on_lane(partial(int))) == "functools.partial(<class 'int'>)"


@pytest.mark.parametrize("steps", [0, 1])
async def test_a_task_that_is_cancelled_is_done(exchange: Any, steps: int) -> None:
    """As when the loop ends: even if it had not begun."""
    job = TaskJob(asyncio.sleep(10))
    before = asyncio.all_tasks()
    job.start(exchange)
    for _ in range(steps):
        await asyncio.sleep(0)
    (task,) = asyncio.all_tasks() - before
    task.cancel()
    async with asyncio.timeout(5):
        await _wait(job, exchange)

    assert job.done
    with pytest.raises(asyncio.CancelledError):
        job.result()


def test_a_lane_outlives_the_loop() -> None:
    go, done = threading.Event(), threading.Event()

    async def begin() -> Any:
        exchange: Any = Exchange()
        on_lane(go.wait, 20).start(exchange)
        return exchange

    exchange = asyncio.run(begin())
    go.set()
    exchange.lane().submit(done.set)

    assert done.wait(20)
