# SPDX-License-Identifier: MIT
"""Tasks that the application leaves running."""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any

import pytest

from ashapp.bridge.concurrency.context import new_context
from ashapp.bridge.concurrency.own_loop import OwnLoop, drain_own_loops
from ashapp.bridge.concurrency.task_factory import TaskKeeper
from tests.support.waiting import PATIENCE, until


@pytest.fixture
async def keeper() -> TaskKeeper:
    keeper = TaskKeeper()
    keeper.install(asyncio.get_running_loop())
    return keeper


def start(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Create a task as a view does: in the context of a request."""
    return new_context(Context()).run(asyncio.create_task, coroutine)


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


@contextmanager
def running(grace: float = PATIENCE) -> Iterator[OwnLoop]:
    own = OwnLoop(grace)
    yield own
    own.leave()


def submit(own: OwnLoop, coroutine: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, own.loop)


def test_tasks_that_take_too_long_are_cancelled_and_told(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("task")

    async def endless() -> Any:
        try:
            while True:
                yield
        finally:
            ended.append("generator")

    async def begin() -> None:
        await anext(generator)
        left.append(asyncio.create_task(hang()))
        await asyncio.sleep(0)

    generator, left = endless(), list[Any]()
    with caplog.at_level(logging.WARNING), running(0.01) as own:
        submit(own, begin()).result(PATIENCE)
    until(own.loop.is_closed)
    assert ended == ["task", "generator"]
    (line,) = caplog.messages
    assert "hang" in line
    assert line.endswith("was not done 0.01 s after the end of its request: cancelled")


def test_without_a_thread_there_is_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            OwnLoop(1)
    asyncio.run(drain_own_loops(PATIENCE))
