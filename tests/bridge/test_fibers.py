# SPDX-License-Identifier: MIT
import gc
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from contextvars import Context, ContextVar
from types import coroutine
from typing import Any

import pytest

from ashapp.bridge import fibers
from ashapp.bridge.fibers import DONE, Fiber, acquire, current_fiber, release
from tests.support.waiting import PATIENCE

_variable: ContextVar[str] = ContextVar("variable")


class _Thing:
    def do(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_idle_fibers() -> Iterator[None]:
    """Begin without fibers that other tests have left, and leave none."""
    vars(fibers._thread).pop("idle", None)
    yield
    vars(fibers._thread).pop("idle", None)


@coroutine
def _wait(item: Any) -> Generator[Any, Any, Any]:
    return (yield item)


def _run(fiber: Fiber, call: Callable[[], object], *answers: Any) -> list[Any]:
    """Run *call* with *answers* to what it waits for; return what that was."""

    def begin() -> None:
        call()

    return [fiber.start(begin), *(_answer(fiber, answer) for answer in answers)]


def _answer(fiber: Fiber, answer: Any) -> Any:
    return fiber.fail(answer) if isinstance(answer, BaseException) else fiber.resume(answer)


def test_a_call_that_does_not_wait_is_done_at_once() -> None:
    fiber, seen = acquire(), []
    assert _run(fiber, lambda: seen.append(current_fiber())) == [DONE]
    assert seen == [fiber]
    assert current_fiber() is None


def test_what_is_asked_for_is_handed_to_the_caller_and_the_answer_to_the_call() -> None:
    fiber, seen = acquire(), []
    assert _run(fiber, lambda: seen.append(fiber.ask("a") + fiber.ask("b")), 1, 2) == ["a", "b", DONE]
    assert seen == [3]


def test_an_error_is_raised_where_the_call_waits() -> None:
    fiber, seen = acquire(), []

    def call() -> None:
        with pytest.raises(OSError, match="no luck"):
            fiber.ask("a")
        seen.append("raised")

    assert _run(fiber, call, OSError("no luck")) == ["a", DONE]
    assert seen == ["raised"]


def test_a_coroutine_is_run_to_its_end() -> None:
    fiber, seen = acquire(), []

    async def view() -> str:
        first: str = await _wait("first")
        try:
            await _wait("second")
        except KeyError as error:
            return f"{first}, {error.args[0]}"
        raise AssertionError

    assert _run(fiber, lambda: seen.append(fiber.wait_for(view())), "a", KeyError("b")) == [
        "first",
        "second",
        DONE,
    ]
    assert seen == ["a, b"]
    assert fiber.depth == 0


def test_sync_code_that_a_coroutine_calls_may_wait_in_turn() -> None:
    fiber, seen = acquire(), []

    async def inner() -> Any:
        seen.append(fiber.depth)
        return await _wait("inner")

    async def outer() -> Any:
        seen.append(fiber.depth)
        return fiber.wait_for(inner()), await _wait("outer")

    assert _run(fiber, lambda: seen.append(fiber.wait_for(outer())), 1, 2) == ["inner", "outer", DONE]
    assert seen == [1, 2, (1, 2)]


def test_a_coroutine_that_fails_fails_in_the_call() -> None:
    fiber, seen = acquire(), []

    async def view() -> None:
        raise ValueError("of the view")

    def call() -> None:
        with pytest.raises(ValueError, match="of the view"):
            fiber.wait_for(view())
        seen.append(fiber.depth)

    assert _run(fiber, call) == [DONE]
    assert seen == [0]


def test_a_fiber_has_a_context_of_its_own_that_others_may_run_in_while_it_waits() -> None:
    fiber, context, seen = acquire(), Context(), []
    fiber.gr_context = context

    def call() -> None:
        _variable.set("of the fiber")
        fiber.ask("pause")
        seen.append(_variable.get())

    fiber.start(call)
    assert _variable.get(None) is None
    assert context[_variable] == "of the fiber"
    context.run(_variable.set, "from outside")
    assert fiber.resume(None) is DONE
    assert seen == ["from outside"]


def test_a_fiber_is_used_again_without_what_it_had() -> None:
    fiber = acquire()
    fiber.gr_context = Context()
    fiber.start(lambda: None)
    release(fiber)
    assert acquire() is fiber
    assert fiber.gr_context is None
    assert fiber.exchange is None
    assert acquire() is not fiber


def test_an_idle_fiber_holds_nothing_of_its_last_call() -> None:
    fiber, things = acquire(), [_Thing(), _Thing()]
    for thing in things:
        fiber.start(thing.do)
    held = [weakref.ref(thing) for thing in things]
    del thing
    things.clear()
    assert [reference() for reference in held] == [None, None]


def test_fibers_beyond_those_that_are_kept_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fibers, "_MAX_IDLE", 2)
    at_once = [acquire() for _ in range(5)]
    references = [weakref.ref(fiber) for fiber in at_once]
    while at_once:
        fiber = at_once.pop()
        fiber.start(lambda: None)
        release(fiber)
    del fiber
    gc.collect()
    assert sum(reference() is not None for reference in references) == 2


def test_fibers_are_freed_with_their_thread() -> None:
    references = []

    def work() -> None:
        fiber = acquire()
        fiber.start(lambda: None)
        release(fiber)
        references.append(weakref.ref(fiber))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    gc.collect()
    assert [reference() for reference in references] == [None]
