# SPDX-License-Identifier: MIT
"""Coroutines that a thread waits for; see ``test_reached_from_threads`` for those of requests."""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, Token
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from greenlet import getcurrent

from ashapp.bridge.concurrency.async_to_sync import run_coroutine, run_for, run_on_loop
from ashapp.bridge.concurrency.futures import as_coroutine
from tests.support.waiting import PATIENCE, on_a_thread

mark = ContextVar("mark", default="none")


class Call:
    """As much of a call as a thread needs that serves it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.context = Context()
        self.tasks: list[asyncio.Task[Any]] = []
        self.note_task = self.tasks.append

    def coroutine_loop(self) -> asyncio.AbstractEventLoop:
        return self.loop


@pytest.fixture
async def call() -> Any:
    return Call()


async def serve(call: Any, function: Callable[[], Any]) -> Any:
    """Call *function* on a thread that serves *call*, and return what it returned or raised."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    await on_a_thread(lambda: run_for(call, call.context, work))
    return outcome[0]


async def reach(call: Any, coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await serve(call, lambda: run_coroutine(coroutine))


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_what_it_raises_is_raised_on_the_thread(call: Any, error: type[BaseException]) -> None:
    async def view() -> None:
        await asyncio.sleep(0)
        raise error("oops")

    raised = await reach(call, view())
    assert type(raised) is error
    assert str(raised) == "oops"


async def test_thread_and_coroutine_share_one_context(call: Any) -> None:
    tokens: list[Token[str]] = []

    async def view() -> str:
        mark.reset(tokens.pop())
        before = mark.get()
        tokens.append(mark.set("coroutine"))
        return before

    def work() -> list[str]:
        tokens.append(mark.set("thread"))
        seen = [run_coroutine(view()), mark.get()]
        mark.reset(tokens.pop())
        return [*seen, mark.get()]

    for _ in range(3):
        assert await serve(call, work) == ["none", "coroutine", "none"]
    assert mark.get() == "none"


async def test_it_has_a_copy_of_a_context_that_the_thread_has_entered(call: Any) -> None:
    async def view() -> str:
        before = mark.get()
        mark.set("coroutine")
        return before

    def work() -> list[str]:
        mark.set("entered")
        return [run_coroutine(view()), mark.get()]

    assert await serve(call, lambda: Context().run(work)) == ["entered", "entered"]


async def test_sync_to_async_comes_back_to_the_thread(call: Any) -> None:
    get_ident = sync_to_async(threading.get_ident)

    async def inner() -> list[Any]:
        return [asyncio.get_running_loop(), await get_ident()]

    async def view() -> list[Any]:
        idents = [await get_ident(), *await asyncio.gather(*[get_ident() for _ in range(5)])]
        loop, innermost = await sync_to_async(lambda: async_to_sync(inner)())()  # noqa: PLW0108 - on the thread
        return [loop is call.loop, *idents, innermost]

    reached, *idents = await serve(call, lambda: [*run_coroutine(view()), threading.get_ident()])
    assert reached
    assert len(set(idents)) == 1


async def test_a_task_that_is_left_behind_goes_on(call: Any) -> None:
    go_on = asyncio.Event()

    async def background() -> str:
        await go_on.wait()
        return await sync_to_async(lambda: threading.current_thread().name)()

    async def view() -> asyncio.Task[str]:
        return asyncio.create_task(background())

    task = await reach(call, view())
    go_on.set()
    assert await asyncio.wait_for(task, PATIENCE)


async def test_it_is_told_what_its_caller_handles(call: Any) -> None:
    error = KeyError("oops")

    async def handler() -> Any:
        await asyncio.sleep(0)
        return sys.exception()

    def work() -> Any:
        try:
            raise error
        except KeyError:
            traceback = error.__traceback__
            handled = run_coroutine(handler())
        assert error.__traceback__ is traceback
        return handled, run_coroutine(handler())

    assert await serve(call, work) == (error, None)


async def test_what_an_error_handler_raises_has_the_first_error_for_its_context(call: Any) -> None:
    async def handler() -> None:
        raise ValueError("second")

    def work() -> None:
        try:
            {"a": 1}["first"]
        except KeyError:
            run_coroutine(handler())

    assert isinstance((await serve(call, work)).__context__, KeyError)


async def test_many_threads_at_once() -> None:
    async def view(number: int) -> int:
        await asyncio.sleep(0)
        return await sync_to_async(lambda: number)()

    numbers = range(50)
    assert await asyncio.gather(*[reach(Call(), view(number)) for number in numbers]) == list(numbers)


@pytest.mark.parametrize("later", [False, True])
async def test_the_call_may_cancel_its_task(call: Any, *, later: bool) -> None:
    """Even before its first step."""

    def cancel(task: asyncio.Task[Any]) -> None:
        if later:
            call.loop.call_soon(task.cancel)
        else:
            task.cancel()

    call.note_task = cancel
    assert isinstance(await reach(call, asyncio.sleep(10)), asyncio.CancelledError)


async def test_elsewhere_asgiref_finds_a_loop() -> None:
    async def view() -> str:
        return mark.get()

    assert await on_a_thread(lambda: run_coroutine(view())) == "none"
    assert await on_a_thread(lambda: asyncio.run(as_coroutine(view()))) == "none"


def test_a_thread_that_outlives_the_loop_is_told_so() -> None:
    async def view() -> None:
        raise AssertionError("there is no loop")

    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="loop is closed"):
        run_on_loop(view(), loop, Context())
    gc.collect()  # no coroutine is left that was never awaited


async def test_the_thread_is_left_as_it_was(call: Any) -> None:
    def work() -> list[Any]:
        before = getcurrent().gr_context
        run_for(call, call.context, lambda: mark.set("of the call"))
        return [getcurrent().gr_context is before, mark.get()]

    assert await on_a_thread(work) == [True, "none"]
    assert call.context[mark] == "of the call"
