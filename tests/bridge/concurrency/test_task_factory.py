# SPDX-License-Identifier: MIT
"""Tasks that the application leaves running."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

import pytest

from ashapp.bridge.concurrency.context import new_context
from ashapp.bridge.concurrency.task_factory import TaskKeeper


@pytest.fixture
async def keeper() -> TaskKeeper:
    keeper = TaskKeeper()
    keeper.install(asyncio.get_running_loop())
    return keeper


def start(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Create a task as a view does: in the context of a request."""
    return new_context(Context()).run(asyncio.create_task, coroutine)


async def test_a_task_of_a_request_is_kept_until_it_is_done(keeper: TaskKeeper) -> None:
    end = asyncio.Event()
    task = start(end.wait())
    assert keeper.tasks == {task}

    end.set()
    await task
    await asyncio.sleep(0)
    assert not keeper.tasks


async def test_a_task_that_nobody_refers_to_is_not_collected(keeper: TaskKeeper) -> None:
    waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reached = weakref.ref(waiting)

    async def work(future: asyncio.Future[str]) -> None:
        await future

    start(work(waiting))
    await asyncio.sleep(0)
    del waiting
    gc.collect()

    future = reached()
    assert future is not None
    future.set_result("done")
    await keeper.drain(1)


async def test_other_tasks_are_not_kept(keeper: TaskKeeper) -> None:
    await asyncio.create_task(asyncio.sleep(0))
    task = asyncio.get_running_loop().create_task(asyncio.sleep(0), context=new_context(Context()))

    assert keeper.tasks == {task}
    await task


async def test_a_task_has_what_it_is_given(keeper: TaskKeeper) -> None:
    task = new_context(Context()).run(lambda: asyncio.create_task(asyncio.sleep(0, "result"), name="mine"))

    assert task.get_name() == "mine"
    assert await task == "result"


async def test_the_task_factory_of_another_is_used() -> None:
    class Task(asyncio.Task[Any]):
        pass

    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **options: Task(coro, loop=loop, **options))
    keeper = TaskKeeper()
    keeper.install(loop)
    task = start(asyncio.sleep(0))

    assert type(task) is Task
    assert keeper.tasks == {task}
    await task


async def test_to_install_it_again_changes_nothing(keeper: TaskKeeper) -> None:
    loop = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    keeper.install(loop)

    assert loop.get_task_factory() is factory


async def test_drain_waits(keeper: TaskKeeper) -> None:
    task = start(asyncio.sleep(0.01, "done"))
    await keeper.drain(10)

    assert task.result() == "done"


async def test_drain_waits_for_what_tasks_start(keeper: TaskKeeper) -> None:
    inner: list[asyncio.Task[str]] = []

    async def outer() -> None:
        await asyncio.sleep(0.01)
        inner.append(asyncio.create_task(asyncio.sleep(0.01, "done")))

    start(outer())
    await keeper.drain(10)

    assert [task.result() for task in inner] == ["done"]


async def test_drain_cancels_what_is_late(keeper: TaskKeeper, caplog: pytest.LogCaptureFixture) -> None:
    late, quick = start(asyncio.Event().wait()), start(asyncio.sleep(0, "done"))
    await keeper.drain(0.01)

    assert late.cancelled()
    assert quick.result() == "done"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_drain_does_not_wait_for_ever_for_what_refuses(keeper: TaskKeeper) -> None:
    end = asyncio.Event()

    async def stubborn() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    task = start(stubborn())
    async with asyncio.timeout(5):
        await keeper.drain(0)

    assert not task.done()
    end.set()
    await task


def test_drain_leaves_what_another_loop_left() -> None:
    keeper = TaskKeeper()
    lost: list[asyncio.Task[Any]] = []

    async def leave() -> None:
        keeper.install(asyncio.get_running_loop())
        lost.append(start(asyncio.Event().wait()))
        await asyncio.sleep(0)

    async def drain() -> None:
        keeper.install(asyncio.get_running_loop())
        await keeper.drain(1)

    first = asyncio.new_event_loop()
    first.run_until_complete(leave())
    asyncio.run(drain())

    assert not lost[0].done()
    lost[0].cancel()
    first.run_until_complete(asyncio.wait(lost))
    first.close()
