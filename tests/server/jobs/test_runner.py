# SPDX-License-Identifier: MIT
import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from flask import Flask, current_app

from ashapp import run_once
from ashapp.server.jobs import registry, runner
from ashapp.server.jobs.runner import JobRunner
from ashapp.server.jobs.turns import Turns
from tests.support.waiting import eventually

APP = Flask("shop")


@pytest.fixture(autouse=True)
def _no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_jobs", {})


@asynccontextmanager
async def running(turns: Turns | None = None, grace: float = 20) -> AsyncIterator[None]:
    """Run the jobs that are registered until the end of the block."""
    made = JobRunner(turns or Turns(None), APP.app_context, grace)
    await made.start()
    yield
    await made.stop()


async def test_a_generator_begins_and_ends_in_the_context_of_the_application() -> None:
    told: list[object] = []

    @run_once
    def scheduler() -> Iterator[None]:
        told.append(current_app.name)
        yield
        told.append(threading.current_thread().name)

    async with running():
        await eventually(lambda: told)
    name = "test_a_generator_begins_and_ends_in_the_context_of_the_application.<locals>.scheduler"
    assert told == ["shop", f"ashapp-job-{__name__}.{name}"]


async def test_an_async_generator_begins_and_ends_on_the_loop() -> None:
    told: list[object] = []

    @run_once
    async def scheduler() -> AsyncIterator[None]:
        told.append(asyncio.get_running_loop())
        yield
        told.append(asyncio.get_running_loop())

    async with running():
        await eventually(lambda: told)
    assert told == [asyncio.get_running_loop()] * 2


async def test_a_coroutine_is_cancelled_and_has_its_turn_until_it_has_ended() -> None:
    told: list[str] = []

    class Noting(Turns):
        def leave(self, name: str) -> None:
            told.append("leave")

    @run_once
    async def consume() -> None:
        told.append("begin")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            told.append("end")

    async with running(Noting(None)):
        await eventually(lambda: told)
    assert told == ["begin", "end", "leave"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_function_that_returns_is_done(*, is_async: bool) -> None:
    calls: list[int] = []
    function: Callable[[], Any]
    if is_async:

        async def function() -> None:
            calls.append(1)

    else:

        def function() -> None:
            calls.append(1)

    run_once(function)
    turns = Turns(None)
    (name,) = registry.registered_jobs()
    for _ in range(2):
        async with running(turns):
            await eventually(lambda: turns.is_done(name))
    assert calls == [1]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
async def test_what_fails_is_run_again_later_and_later(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
    *,
    is_async: bool,
) -> None:
    monkeypatch.setattr(runner, "_SHORTEST", 0.2)
    monkeypatch.setattr(runner, "_LONGEST", 0.6)

    def fail() -> None:
        raise error("oops")

    async def fail_on_loop() -> None:
        fail()

    run_once(fail_on_loop if is_async else fail)
    async with running():
        await eventually(lambda: len(caplog.messages) >= 4)
    pauses = [message.rpartition("has failed; it is run again in ")[2] for message in caplog.messages]
    assert pauses[:4] == ["0.2 s", "0.4 s", "0.6 s", "0.6 s"]


async def test_a_turn_that_another_has_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_INTERVAL", 0.01)
    answers = iter([False, False, True])
    told: list[int] = []

    class Shared(Turns):
        def take(self, name: str) -> bool:
            return next(answers, False)

    run_once(lambda: told.append(1))
    async with running(Shared(None)):
        await eventually(lambda: told)
    run_once(lambda: told.append(1))
    async with running(Shared(None)):
        pass
    assert told == [1]


async def test_what_does_not_end_is_left(caplog: pytest.LogCaptureFixture) -> None:
    released = threading.Event()

    @run_once
    def stubborn() -> None:
        released.wait()

    async with running(grace=0.05):
        pass
    released.set()
    (message,) = caplog.messages
    assert message.endswith("stubborn has not ended within 0.05 s: the worker ends without waiting for it")


@pytest.mark.parametrize("wrong", ["tidy", None, object()])
def test_what_is_no_function_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="run_once takes a function without arguments, not "):
        run_once(wrong)
