# SPDX-License-Identifier: MIT
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from greenlet import greenlet

from ashapp.observe.loop_guard import LoopGuard, describe
from ashapp.observe.moment import Cpu
from ashapp.observe.observation import Observation
from tests.support.asgi import http_scope
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
    """A guard with a threshold of one second, whose loop beats and whose thread looks as the test says.

    The test is the thread of the loop, too; its stack is found to be of ``request``.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.used = Cpu(0.0, 0.0)
        self.request: Observation | None = None
        self.notes: list[tuple[Observation, float]] = []
        self.guard = LoopGuard(
            1.0,
            find=lambda frame, loop: self.request,
            note=lambda *block: self.notes.append(block),
            limit=2.0,
            clock=lambda: self.now,
            cpu=lambda thread: self.used,
        )
        self.guard._loop_thread = threading.get_ident()
        self.guard._loop = None  # type: ignore[assignment]
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


def observed(route: str | None = "/slow", endpoint: str | None = "slow") -> Observation:
    observation = Observation(http_scope("POST", b"/path"), None, lambda _: None)  # type: ignore[arg-type]
    observation.route, observation.endpoint = route, endpoint
    return observation


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (observed(), "POST '/slow' (endpoint 'slow')"),
        (observed("", "index"), "POST '' (endpoint 'index')"),
        (observed(None, None), "POST '/path'"),
    ],
)
def test_the_request_that_blocks_is_told_with_what_to_do(
    stage: Stage, caplog: pytest.LogCaptureFixture, request_: Observation, name: str
) -> None:
    assert describe(request_) == name
    stage.request = request_
    stage.look(2)
    remedy = "Let it await, or keep it on threads, by @ashapp.on_thread or --async-views thread"
    assert lines(caplog)[0].startswith(f"{BLOCKED} for 1.50 s. It is blocked by {name}. {remedy}")


def test_a_request_that_blocks_for_the_limit_is_noted_once_for_each_stall(stage: Stage) -> None:
    stage.request = observed()
    for start in (0, 10):
        stage.beat(start)
        stage.look(start)
        for after in (1.6, 2.2, 2.5, 3.5, 4.5):
            stage.look(start + after)
    assert [request for request, _ in stage.notes] == [stage.request] * 2
    assert [seconds for _, seconds in stage.notes] == pytest.approx([2.0, 2.0])


def test_a_request_is_noted_when_its_endpoint_is_known(stage: Stage) -> None:
    stage.request = observed(endpoint=None)
    for at in (1.6, 2.5):
        stage.look(at)
    assert stage.notes == []
    stage.request.endpoint = "slow"
    stage.look(3.0)
    assert [request.endpoint for request, _ in stage.notes] == ["slow"]


def test_a_request_that_comes_later_in_a_stall_is_noted_for_its_own_time(stage: Stage) -> None:
    stage.look(1.6)
    stage.request = observed()
    for at in (2.0, 3.9, 4.0, 4.5):
        stage.look(at)
    assert stage.notes == [(stage.request, 2.0)]


@pytest.mark.parametrize("other", [None, observed()])
def test_a_request_that_is_not_there_to_the_end_has_not_blocked_for_so_long(
    stage: Stage, other: Observation | None
) -> None:
    stage.request = observed()
    stage.look(1.6)
    stage.request = other
    stage.look(2.5)
    stage.look(4.4)
    assert stage.notes == []


@pytest.mark.parametrize(
    ("used", "blocks"),
    [
        (Cpu(0.0, 0.0), True),
        (Cpu(0.9, 0.0), True),
        (Cpu(0.5, 0.4), True),
        (Cpu(0.1, 0.9), False),
    ],
    ids=["it waits, in several calls", "it works", "it works more than others", "others let it not run"],
)
def test_who_is_kept_from_running_by_other_threads_does_not_block(
    stage: Stage, used: Cpu, *, blocks: bool
) -> None:
    stage.request = observed()
    stage.look(1.6)
    stage.used = used
    stage.look(2.5)  # at another place in the code than the look before
    assert bool(stage.notes) is blocks


@pytest.mark.parametrize(
    ("used", "who", "noted"),
    [
        (Cpu(2.0, 0.5), "C code held the interpreter's lock", True),
        (Cpu(0.5, 2.0), "C code of another thread held the interpreter's lock", False),
        (
            Cpu(0.0, 0.0),
            "the process was stopped, or C code held the interpreter's lock while it waited",
            False,
        ),
    ],
)
def test_a_guard_that_was_held_up_itself_says_by_whom(
    stage: Stage, caplog: pytest.LogCaptureFixture, used: Cpu, who: str, *, noted: bool
) -> None:
    stage.request = observed()
    assert stage.look(0.25) == 1.25
    stage.used = used
    stage.look(3.5)
    stage.look(4.0)
    (line,) = lines(caplog)
    assert line.startswith(f"{BLOCKED} for 3.00 s (no other thread ran either: {who}). ")
    assert ("It is blocked by" in line) is noted
    assert stage.notes == ([(stage.request, 3.0)] if noted else [])


def test_a_guard_that_is_held_up_a_little_says_nothing_of_it(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    assert stage.look(0.25) == 1.25
    stage.look(2.4)
    assert lines(caplog) == [f"{BLOCKED} for 1.90 s. Its thread runs:"]


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
