# SPDX-License-Identifier: MIT
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from greenlet import greenlet

from ashapp.observe.loop_guard import LoopGuard
from tests.support.waiting import PATIENCE, eventually

BLOCKED = "The event loop has not answered"
GOES_ON = "The event loop goes on after"


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "ashapp.observe"):
        yield


class Timers:
    """Stands for a loop: takes a timer, and has none run."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> None:
        self.delays.append(delay)


class Stage:
    """A guard with a threshold of one second, whose loop beats and whose thread looks as the test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.guard = LoopGuard(1.0, lambda: self.now)
        self.guard._loop_thread = threading.get_ident()
        self.timers: Any = Timers()

    def beat(self, at: float) -> None:
        self.now = at
        self.guard._beat(self.timers)

    def look(self, at: float) -> float:
        self.now = at
        return self.guard._look()


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.beat(0)
    return stage


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    return [message.partition("\n")[0] for message in caplog.messages]


def test_a_loop_that_beats_is_left_alone(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    assert stage.look(0) == 1.5
    stage.beat(0.5)
    stage.beat(1.0)
    assert stage.look(1.5) == 1.0
    stage.beat(2.4)
    assert stage.look(2.5) == pytest.approx(1.4)
    assert stage.timers.delays == [0.5] * 4
    assert lines(caplog) == []


def test_a_stall_is_told_once_and_its_end(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    assert stage.look(1.5) == 0.0
    assert lines(caplog) == []
    assert stage.look(1.51) == 0.5
    assert [stage.look(at) for at in (2.01, 2.51)] == [0.5, 0.5]
    assert lines(caplog) == [f"{BLOCKED} for 1.01 s. Its thread runs:"]
    stage.beat(2.75)
    stage.beat(3.0)
    assert stage.look(3.01) == pytest.approx(1.49)
    assert lines(caplog)[1:] == [f"{GOES_ON} 2.25 s"]


def test_the_stack_is_that_of_the_loops_thread(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.look(2)
    (message,) = caplog.messages
    here = r'  File ".*test_loop_guard.py", line \d+, in test_the_stack_is_that_of_the_loops_thread\n'
    assert re.search(here + r"    stage\.look\(2\)\n", message)
    assert not message.endswith("\n")


def test_in_a_greenlet_the_stack_is_that_of_the_greenlet(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def view() -> None:
        stage.look(2)

    greenlet(view).switch()
    (message,) = caplog.messages
    assert "in view\n    stage.look(2)" in message


def test_a_thread_that_is_gone_has_no_stack(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    thread = threading.Thread()
    thread.start()
    thread.join()
    assert thread.ident is not None
    stage.guard._loop_thread = thread.ident
    stage.look(2)
    assert caplog.messages == [f"{BLOCKED} for 1.50 s. Its thread runs:\n"]


def test_stalls_that_follow_soon_are_only_counted(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    for start in (0, 4, 8, 12):
        stage.beat(start)
        stage.look(start)
        stage.look(start + 2)
        stage.beat(start + 3)
        stage.look(start + 3)
    assert [re.sub(r"\. Its .*", "", line) for line in lines(caplog)] == [
        f"{BLOCKED} for 1.50 s",
        f"{GOES_ON} 2.50 s",
        f"{BLOCKED} for 1.50 s (2 more since the last report)",
        f"{GOES_ON} 2.50 s",
    ]


@pytest.mark.parametrize(("late", "told"), [(0.9, False), (1.1, True)])
def test_a_guard_that_was_held_up_itself_says_so(
    stage: Stage, caplog: pytest.LogCaptureFixture, late: float, *, told: bool
) -> None:
    assert stage.look(0.25) == 1.25
    stage.look(1.5 + late)
    (line,) = lines(caplog)
    assert ("(no other thread ran either: C code held the GIL, or the process was stopped)" in line) is told


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_a_threshold_is_positive(threshold: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        LoopGuard(threshold)


def guards() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ashapp-loop-guard"]


async def test_a_loop_that_is_blocked_is_noticed_while_it_is(caplog: pytest.LogCaptureFixture) -> None:
    guard = LoopGuard(0.01)
    await guard.start()
    deadline = time.monotonic() + PATIENCE
    while not any(BLOCKED in message for message in caplog.messages):
        assert time.monotonic() < deadline, "not noticed"
        time.sleep(0.001)  # noqa: ASYNC251 - blocks the loop on purpose
    assert "in test_a_loop_that_is_blocked_is_noticed_while_it_is" in caplog.text
    await eventually(lambda: GOES_ON in caplog.text)
    await guard.stop()
    await eventually(lambda: guards() == [])


async def test_a_guard_that_was_not_started_can_be_stopped() -> None:
    await LoopGuard(1.0).stop()
    assert guards() == []


async def test_a_guard_ends_when_it_is_stopped() -> None:
    guard = LoopGuard(10 * PATIENCE)
    await guard.start()
    assert len(guards()) == 1
    for _ in range(2):
        await guard.stop()
    assert guard._timer is not None
    assert guard._timer.cancelled()
    await eventually(lambda: guards() == [])
