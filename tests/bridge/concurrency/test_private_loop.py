# SPDX-License-Identifier: MIT
import asyncio
import logging
import threading
from typing import Any

import pytest

from ashapp.bridge.concurrency.private_loop import OwnLoop, RemoteTask, drain_own_loops, is_own_loop
from tests.support.waiting import PATIENCE, eventually, until


def submit(own: OwnLoop, coroutine: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, own.loop)


async def whereabouts() -> tuple[int, asyncio.AbstractEventLoop]:
    return threading.get_ident(), asyncio.get_running_loop()


def test_it_runs_on_a_thread_of_its_own_until_it_is_left() -> None:
    with OwnLoop(PATIENCE) as own:
        thread, loop = submit(own, whereabouts()).result(PATIENCE)
        assert thread != threading.get_ident()
        assert loop is own.loop
        assert is_own_loop(loop)
    until(own.loop.is_closed)


def test_tasks_that_are_left_are_waited_for() -> None:
    done = threading.Event()
    go_on = asyncio.Event()

    async def finish() -> None:
        await go_on.wait()
        done.set()

    with OwnLoop(PATIENCE) as own:
        submit(own, finish())
    own.loop.call_soon_threadsafe(go_on.set)
    assert done.wait(PATIENCE)
    until(own.loop.is_closed)


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

    generator = endless()
    with caplog.at_level(logging.WARNING), OwnLoop(0.01) as own:
        submit(own, _next(generator)).result(PATIENCE)
        begun = threading.Event()
        submit(own, hang())
        own.loop.call_soon_threadsafe(begun.set)
        assert begun.wait(PATIENCE)
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
    asyncio.run(drain_own_loops(0))


async def test_the_end_of_all_is_waited_for() -> None:
    assert not is_own_loop(asyncio.get_running_loop())
    own = OwnLoop(PATIENCE)
    await drain_own_loops(0.02)
    assert not own.loop.is_closed()
    own.leave()
    await drain_own_loops(PATIENCE)
    await eventually(own.loop.is_closed)


async def test_a_task_there_is_cancelled_from_here_and_its_end_is_told_here() -> None:
    told: asyncio.Queue[int] = asyncio.Queue()
    with OwnLoop(PATIENCE) as own:
        waiting: asyncio.Task[Any] = await asyncio.wrap_future(submit(own, _started()))
        remote = RemoteTask(waiting, asyncio.get_running_loop())
        remote.add_done_callback(lambda _: told.put_nowait(threading.get_ident()))
        assert remote.cancel()
        async with asyncio.timeout(PATIENCE):
            assert await told.get() == threading.get_ident()
        assert waiting.cancelled()
        assert not remote.cancel()


async def test_a_task_of_a_loop_that_has_ended_is_left_alone() -> None:
    with OwnLoop(PATIENCE) as own:
        waiting = own.loop.create_future()
    await eventually(own.loop.is_closed)
    assert not RemoteTask(waiting, asyncio.get_running_loop()).cancel()


async def _next(generator: Any) -> None:
    await anext(generator)


async def _started() -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(asyncio.sleep(PATIENCE))
