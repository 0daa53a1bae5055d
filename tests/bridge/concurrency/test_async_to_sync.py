# SPDX-License-Identifier: MIT
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

from ashapp.bridge.concurrency.async_to_sync import run_coroutine, run_on_loop, set_main_event_loop
from ashapp.bridge.concurrency.futures import as_coroutine
from ashapp.bridge.concurrency.greenlets import enter_call
from tests.support.waiting import PATIENCE, on_a_thread

mark = ContextVar("mark", default="none")


async def in_context(context: Context, function: Callable[[], Any]) -> Any:
    """Call *function* on a thread that has *context* for its current one, as a worker thread has."""

    def call() -> Any:
        outer = getcurrent().gr_context
        getcurrent().gr_context = context
        try:
            return function()
        finally:
            getcurrent().gr_context = outer

    return await on_a_thread(call)


async def reach(coroutine: Coroutine[Any, Any, Any], context: Context | None = None) -> Any:
    """Run *coroutine* on this loop, from a thread."""
    loop, context = asyncio.get_running_loop(), context or Context()
    return await in_context(context, lambda: run_on_loop(coroutine, loop, context))


async def test_it_runs_on_the_loop_while_the_thread_waits() -> None:
    async def view() -> Any:
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    assert await reach(view()) is asyncio.get_running_loop()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_what_it_raises_is_raised_on_the_thread(error: type[BaseException]) -> None:
    async def view() -> None:
        await asyncio.sleep(0)
        raise error("oops")

    async def caught() -> BaseException:
        loop, context = asyncio.get_running_loop(), Context()

        def call() -> BaseException:
            with pytest.raises(error) as caught:
                run_on_loop(view(), loop, context)
            return caught.value

        result: BaseException = await in_context(context, call)
        return result

    assert str(await caught()) == "oops"


async def test_thread_and_coroutine_share_one_context() -> None:
    loop, context = asyncio.get_running_loop(), Context()
    tokens: list[Token[str]] = []

    async def view() -> str:
        mark.reset(tokens.pop())
        before = mark.get()
        tokens.append(mark.set("coroutine"))
        return before

    def call() -> list[str]:
        seen = []
        for _ in range(3):
            tokens.append(mark.set("thread"))
            seen += [run_on_loop(view(), loop, context), mark.get()]
            mark.reset(tokens.pop())
            seen.append(mark.get())
        return seen

    assert await in_context(context, call) == ["none", "coroutine", "none"] * 3
    assert mark.get() == "none"


async def test_sync_to_async_comes_back_to_the_thread() -> None:
    async def view() -> list[int]:
        get_ident = sync_to_async(threading.get_ident)
        return [await get_ident(), *await asyncio.gather(*[get_ident() for _ in range(5)])]

    loop, context = asyncio.get_running_loop(), Context()
    thread, *others = await in_context(
        context, lambda: [threading.get_ident(), *run_on_loop(view(), loop, context)]
    )
    assert others == [thread] * 6


async def test_a_nested_call_reaches_the_same_loop() -> None:
    async def inner() -> Any:
        return asyncio.get_running_loop(), await sync_to_async(threading.get_ident)()

    async def view() -> Any:
        return await sync_to_async(lambda: (threading.get_ident(), async_to_sync(inner)()))()

    adopted, context = asyncio.get_running_loop(), Context()

    def call() -> Any:
        set_main_event_loop(adopted)
        return threading.get_ident(), run_on_loop(view(), adopted, context)

    thread, (outer, (loop, nested)) = await in_context(context, call)
    assert loop is adopted
    assert thread == outer == nested


async def test_a_task_that_is_left_behind_goes_on() -> None:
    go_on = asyncio.Event()
    threads: list[str] = []

    async def background() -> None:
        await go_on.wait()
        threads.append(await sync_to_async(lambda: threading.current_thread().name)())

    async def view() -> asyncio.Task[None]:
        return asyncio.create_task(background())

    task = await reach(view())
    go_on.set()
    await asyncio.wait_for(task, PATIENCE)
    assert len(threads) == 1


async def test_it_is_told_what_its_caller_handles() -> None:
    loop, context = asyncio.get_running_loop(), Context()
    error = KeyError("oops")

    async def handler() -> Any:
        await asyncio.sleep(0)
        return sys.exc_info()[1]

    def call() -> Any:
        try:
            raise error
        except KeyError:
            lines = traceback_of(error)
            handled = run_on_loop(handler(), loop, context)
        assert traceback_of(error) == lines
        return handled, run_on_loop(handler(), loop, context)

    assert await in_context(context, call) == (error, None)


def traceback_of(error: BaseException) -> list[int]:
    lines, traceback = [], error.__traceback__
    while traceback is not None:
        lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    return lines


@pytest.mark.parametrize("error", [ValueError, SystemExit])
async def test_what_an_error_handler_raises_has_the_first_error_for_its_context(
    error: type[BaseException],
) -> None:
    loop, context = asyncio.get_running_loop(), Context()

    async def handler() -> None:
        raise error("second")

    def handle() -> None:
        try:
            {"a": 1}["first"]
        except KeyError:
            run_on_loop(handler(), loop, context)

    def call() -> BaseException:
        with pytest.raises(error) as caught:
            handle()
        return caught.value

    first = (await in_context(context, call)).__context__
    assert isinstance(first, KeyError)


async def test_many_threads_at_once() -> None:
    async def view(number: int) -> int:
        await asyncio.sleep(0)
        return await sync_to_async(lambda: number)()

    numbers = range(50)
    assert await asyncio.gather(*[reach(view(number)) for number in numbers]) == list(numbers)


async def test_a_cancelled_coroutine_frees_its_thread() -> None:
    async def view() -> None:
        task: Any = asyncio.current_task()
        loop.call_soon(task.cancel)
        await asyncio.Event().wait()

    loop, context = asyncio.get_running_loop(), Context()

    def call() -> None:
        with pytest.raises(asyncio.CancelledError):
            run_on_loop(view(), loop, context)

    await in_context(context, call)


def test_a_thread_that_outlives_the_loop_is_told_so() -> None:
    async def view() -> None:
        raise AssertionError("there is no loop")

    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="loop is closed"):
        run_on_loop(view(), loop, Context())
    gc.collect()  # no coroutine is left that was never awaited


async def test_adopted_code_runs_on_the_loop() -> None:
    async def view() -> Any:
        return asyncio.get_running_loop()

    loop = asyncio.get_running_loop()

    def call() -> Any:
        set_main_event_loop(loop)
        set_main_event_loop(loop)
        return async_to_sync(view)(), async_to_sync(view)()

    assert await on_a_thread(call) == (loop, loop)


class WsgiCall:
    """What ``run_coroutine`` needs of a call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.context = Context()
        self.tasks: list[asyncio.Task[Any]] = []

    def coroutine_loop(self) -> asyncio.AbstractEventLoop:
        return self.loop

    def note_task(self, task: asyncio.Task[Any]) -> None:
        self.tasks.append(task)


def with_its_context(served: Any, call: Callable[[], Any]) -> Any:
    outer = getcurrent().gr_context
    getcurrent().gr_context = served.context
    try:
        return call()
    finally:
        getcurrent().gr_context = outer


def with_another_context(served: Any, call: Callable[[], Any]) -> Any:
    return Context().run(call)


@pytest.mark.parametrize("enter", [with_its_context, with_another_context])
async def test_complete_on_the_thread_of_an_exchange(enter: Callable[[Any, Any], Any]) -> None:
    call: Any = WsgiCall(asyncio.get_running_loop())

    async def view() -> Any:
        inner = mark.get()
        mark.set("view")
        return asyncio.get_running_loop(), inner, await sync_to_async(threading.get_ident)()

    def work() -> Any:
        mark.set("thread")
        return run_coroutine(view())

    def on_thread() -> Any:
        enter_call(call)
        return threading.get_ident(), enter(call, work)

    thread, (loop, inner, back) = await on_a_thread(on_thread)
    assert loop is call.loop
    assert inner == "thread"
    assert back == thread


async def test_complete_elsewhere_finds_a_loop() -> None:
    async def view() -> str:
        return mark.get()

    assert await on_a_thread(lambda: run_coroutine(view())) == "none"
    assert await on_a_thread(lambda: asyncio.run(as_coroutine(view()))) == "none"


async def test_the_call_is_told_of_the_task() -> None:
    call: Any = WsgiCall(asyncio.get_running_loop())

    def on_thread() -> None:
        enter_call(call)
        run_coroutine(asyncio.sleep(0))

    await on_a_thread(on_thread)

    assert [task.done() for task in call.tasks] == [True]


@pytest.mark.parametrize("later", [False, True])
async def test_a_thread_is_told_that_its_task_was_cancelled(*, later: bool) -> None:
    """Even before its first step."""
    loop = asyncio.get_running_loop()
    call: Any = WsgiCall(loop)

    def cancel(task: asyncio.Task[Any]) -> None:
        if later:
            loop.call_soon(task.cancel)
        else:
            task.cancel()

    call.note_task = cancel

    def work() -> str:
        try:
            run_on_loop(asyncio.sleep(10), loop, Context(), call)
        except asyncio.CancelledError:
            return "cancelled"
        return "never"

    assert await on_a_thread(work) == "cancelled"
