# SPDX-License-Identifier: MIT
"""What a greenlet has done elsewhere."""

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

from ashapp.bridge.concurrency.greenlets import current_call
from ashapp.bridge.concurrency.request_threads import RequestThread, RequestThreadPool
from ashapp.bridge.request.handoffs import Handoff, TaskHandoff, ThreadHandoff

variable = ContextVar("variable", default="unset")


class WsgiCall:
    """As much of a call as a hand-off needs."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.context = copy_context()
        self.thread = RequestThread(RequestThreadPool(1))


@pytest.fixture
async def call() -> Any:
    return WsgiCall()


async def done(handoff: Handoff, call: Any) -> Handoff:
    """Do the hand-off, as the driving task does, and return it."""
    handoff.start(call)
    async with asyncio.timeout(20):
        while not handoff.done:
            await _wait(handoff, call)
    return handoff


async def do(handoff: Handoff, call: Any) -> Any:
    """Do the hand-off, and return what it returned or raise what it raised, as in the greenlet."""
    return (await done(handoff, call)).result()


@coroutine
def _wait(handoff: Handoff, call: Any) -> Generator[Any, Any, None]:
    yield from handoff.wait(call.loop)


def on_lane(function: Callable[..., Any], *args: Any, **kwargs: Any) -> ThreadHandoff:
    return ThreadHandoff(function, args, kwargs)


def as_task(function: Callable[..., Any], *args: Any, **kwargs: Any) -> TaskHandoff:
    async def run() -> Any:
        await asyncio.sleep(0)
        return function(*args, **kwargs)

    return TaskHandoff(run())


both = pytest.mark.parametrize("make", [on_lane, as_task])


@both
async def test_it_returns_what_the_function_returns(call: Any, make: Callable[..., Handoff]) -> None:
    assert await do(make(divmod, 7, 2), call) == (3, 1)
    assert await do(make(dict, a=1), call) == {"a": 1}


@both
@pytest.mark.parametrize("error", [LookupError, StopIteration, SystemExit, asyncio.CancelledError])
async def test_it_raises_what_the_function_raises(
    call: Any, make: Callable[..., Handoff], error: type[BaseException]
) -> None:
    def fail() -> None:
        raise error("reason")

    handoff = await done(make(fail), call)

    if make is as_task and error is StopIteration:
        error = RuntimeError  # what a coroutine makes of it
    with pytest.raises(error) as raised:
        handoff.result()
    assert error is RuntimeError or raised.traceback[-1].name == "fail"


@both
async def test_it_runs_in_the_context_that_asks_for_it(call: Any, make: Callable[..., Handoff]) -> None:
    context = copy_context()
    context.run(variable.set, "entered")

    assert await do(context.run(make, variable.get), call) == "entered"
    await do(context.run(make, variable.set, "hand-off"), call)
    assert context[variable] == "hand-off"
    assert variable.get() == "unset"


@both
async def test_it_finds_what_its_caller_handles(call: Any, make: Callable[..., Handoff]) -> None:
    error = LookupError()
    try:
        raise error
    except LookupError:
        traceback = error.__traceback__
        handled, found = await do(make(lambda: (sys.exception(), error.__traceback__)), call)
    assert handled is error
    assert found is traceback
    assert await do(make(sys.exception), call) is None


@both
async def test_it_leaves_no_cycle(call: Any, make: Callable[..., Handoff]) -> None:
    class Target:
        def fail(self) -> None:
            raise LookupError

    target = Target()
    gone = weakref.ref(target)
    handoff = make(target.fail)
    del target
    gc.disable()
    try:
        with pytest.raises(LookupError) as raised:
            await do(handoff, call)
        del raised, handoff
        await asyncio.sleep(0)
        await do(on_lane(int), call)  # so that the request thread has let go of what it did
        assert gone() is None
    finally:
        gc.enable()


async def test_a_lane_knows_the_exchange_and_the_loop(call: Any) -> None:
    def look() -> tuple[Any, ...]:
        return (
            current_call(),
            SyncToAsync.threadlocal.main_event_loop.loop,
            threading.current_thread() is threading.main_thread(),
        )

    assert await do(on_lane(look), call) == (call, call.loop, False)
    call.thread.submit(lambda: seen.append(current_call()))
    seen: list[Any] = []
    await do(on_lane(int), call)
    assert seen == [None]


async def test_a_cancellation_ends_the_wait_not_the_job(call: Any) -> None:
    go = threading.Event()
    handoff = on_lane(go.wait, 20)
    handoff.start(call)
    waiting = asyncio.ensure_future(_wait(handoff, call))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not handoff.done
    go.set()
    await _wait(handoff, call)

    assert handoff.done
    assert handoff.result() is True


async def test_to_leave_a_job_ends_the_wait(call: Any) -> None:
    go = threading.Event()
    handoff = on_lane(go.wait, 20)
    handoff.leave()  # nobody waits yet
    handoff.start(call)
    waiting = asyncio.ensure_future(_wait(handoff, call))
    await asyncio.sleep(0)
    handoff.leave()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()


async def test_a_lane_job_says_what_it_does(call: Any) -> None:
    assert str(on_lane(threading.Event.wait)) == "Event.wait"
    assert str(on_lane(partial(int))) == "functools.partial(<class 'int'>)"


@pytest.mark.parametrize("steps", [0, 1])
async def test_a_task_that_is_cancelled_is_done(call: Any, steps: int) -> None:
    """As when the loop ends: even if it had not begun."""
    handoff = TaskHandoff(asyncio.sleep(10))
    before = asyncio.all_tasks()
    handoff.start(call)
    for _ in range(steps):
        await asyncio.sleep(0)
    (task,) = asyncio.all_tasks() - before
    task.cancel()
    async with asyncio.timeout(5):
        await _wait(handoff, call)

    assert handoff.done
    with pytest.raises(asyncio.CancelledError):
        handoff.result()


def test_a_lane_outlives_the_loop() -> None:
    go, done = threading.Event(), threading.Event()

    async def begin() -> Any:
        call: Any = WsgiCall()
        on_lane(go.wait, 20).start(call)
        return call

    call = asyncio.run(begin())
    go.set()
    call.thread.submit(done.set)

    assert done.wait(20)
