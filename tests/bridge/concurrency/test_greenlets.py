# SPDX-License-Identifier: MIT
import gc
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from contextvars import Context, ContextVar
from types import coroutine
from typing import Any

import pytest

from ashapp.bridge.concurrency import greenlets
from ashapp.bridge.concurrency.greenlets import DONE, PooledGreenlet, acquire, current_greenlet, release
from tests.support.waiting import PATIENCE

_variable: ContextVar[str] = ContextVar("variable")


class _Thing:
    def do(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_idle_fibers() -> Iterator[None]:
    """Begin without greenlets that other tests have left, and leave none."""
    vars(greenlets._thread).pop("idle", None)
    yield
    vars(greenlets._thread).pop("idle", None)


@coroutine
def _wait(item: Any) -> Generator[Any, Any, Any]:
    return (yield item)


def _run(greenlet: PooledGreenlet, call: Callable[[], object], *answers: Any) -> list[Any]:
    """Run *call* with *answers* to what it waits for; return what that was."""

    def begin() -> None:
        call()

    return [greenlet.start(begin), *(_answer(greenlet, answer) for answer in answers)]


def _answer(greenlet: PooledGreenlet, answer: Any) -> Any:
    return greenlet.fail(answer) if isinstance(answer, BaseException) else greenlet.resume(answer)


def test_a_call_that_does_not_wait_is_done_at_once() -> None:
    greenlet, seen = acquire(), []
    assert _run(greenlet, lambda: seen.append(current_greenlet())) == [DONE]
    assert seen == [greenlet]
    assert current_greenlet() is None


def test_what_is_asked_for_is_handed_to_the_caller_and_the_answer_to_the_call() -> None:
    greenlet, seen = acquire(), []
    assert _run(greenlet, lambda: seen.append(greenlet.ask("a") + greenlet.ask("b")), 1, 2) == [
        "a",
        "b",
        DONE,
    ]
    assert seen == [3]


def test_an_error_is_raised_where_the_call_waits() -> None:
    greenlet, seen = acquire(), []

    def call() -> None:
        with pytest.raises(OSError, match="no luck"):
            greenlet.ask("a")
        seen.append("raised")

    assert _run(greenlet, call, OSError("no luck")) == ["a", DONE]
    assert seen == ["raised"]


def test_a_coroutine_is_run_to_its_end() -> None:
    greenlet, seen = acquire(), []

    async def view() -> str:
        first: str = await _wait("first")
        try:
            await _wait("second")
        except KeyError as error:
            return f"{first}, {error.args[0]}"
        raise AssertionError

    assert _run(greenlet, lambda: seen.append(greenlet.wait_for(view())), "a", KeyError("b")) == [
        "first",
        "second",
        DONE,
    ]
    assert seen == ["a, b"]
    assert greenlet.depth == 0


def test_sync_code_that_a_coroutine_calls_may_wait_in_turn() -> None:
    greenlet, seen = acquire(), []

    async def inner() -> Any:
        seen.append(greenlet.depth)
        return await _wait("inner")

    async def outer() -> Any:
        seen.append(greenlet.depth)
        return greenlet.wait_for(inner()), await _wait("outer")

    assert _run(greenlet, lambda: seen.append(greenlet.wait_for(outer())), 1, 2) == ["inner", "outer", DONE]
    assert seen == [1, 2, (1, 2)]


def test_a_coroutine_that_fails_fails_in_the_call() -> None:
    greenlet, seen = acquire(), []

    async def view() -> None:
        raise ValueError("of the view")

    def call() -> None:
        with pytest.raises(ValueError, match="of the view"):
            greenlet.wait_for(view())
        seen.append(greenlet.depth)

    assert _run(greenlet, call) == [DONE]
    assert seen == [0]


def test_a_fiber_has_a_context_of_its_own_that_others_may_run_in_while_it_waits() -> None:
    greenlet, context, seen = acquire(), Context(), []
    greenlet.gr_context = context

    def call() -> None:
        _variable.set("of the greenlet")
        greenlet.ask("pause")
        seen.append(_variable.get())

    greenlet.start(call)
    assert _variable.get(None) is None
    assert context[_variable] == "of the greenlet"
    context.run(_variable.set, "from outside")
    assert greenlet.resume(None) is DONE
    assert seen == ["from outside"]


def test_a_fiber_is_used_again_without_what_it_had() -> None:
    greenlet = acquire()
    greenlet.gr_context = Context()
    greenlet.start(lambda: None)
    release(greenlet)
    assert acquire() is greenlet
    assert greenlet.gr_context is None
    assert acquire() is not greenlet


def test_an_idle_fiber_holds_nothing_of_its_last_call() -> None:
    greenlet, things = acquire(), [_Thing(), _Thing()]
    for thing in things:
        greenlet.start(thing.do)
    held = [weakref.ref(thing) for thing in things]
    del thing
    things.clear()
    assert [reference() for reference in held] == [None, None]


def test_fibers_beyond_those_that_are_kept_are_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greenlets, "_MAX_IDLE", 2)
    at_once = [acquire() for _ in range(5)]
    references = [weakref.ref(greenlet) for greenlet in at_once]
    while at_once:
        greenlet = at_once.pop()
        greenlet.start(lambda: None)
        release(greenlet)
    del greenlet
    gc.collect()
    assert sum(reference() is not None for reference in references) == 2


def test_fibers_are_freed_with_their_thread() -> None:
    references = []

    def work() -> None:
        greenlet = acquire()
        greenlet.start(lambda: None)
        release(greenlet)
        references.append(weakref.ref(greenlet))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    gc.collect()
    assert [reference() for reference in references] == [None]
