# SPDX-License-Identifier: MIT
"""Loops of one request each; see ``placement/test_thread_views.py`` for the requests."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ashapp.bridge.concurrency.own_loop import OwnLoop, drain_own_loops
from tests.support.waiting import PATIENCE, until


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
