# SPDX-License-Identifier: MIT
"""Tasks that the application leaves running."""

import asyncio
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


async def test_other_tasks_are_not_kept(keeper: TaskKeeper) -> None:
    await asyncio.create_task(asyncio.sleep(0))
    task = asyncio.get_running_loop().create_task(asyncio.sleep(0), context=new_context(Context()))

    assert keeper.tasks == {task}
    await task


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


async def test_drain_waits_for_what_tasks_start(keeper: TaskKeeper) -> None:
    inner: list[asyncio.Task[str]] = []

    async def outer() -> None:
        await asyncio.sleep(0.01)
        inner.append(asyncio.create_task(asyncio.sleep(0.01, "done")))

    start(outer())
    await keeper.drain(10)

    assert [task.result() for task in inner] == ["done"]


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
