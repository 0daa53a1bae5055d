# SPDX-License-Identifier: MIT
import asyncio
import logging
import re
import threading
import time
from collections.abc import Iterator

import pytest
from greenlet import greenlet

from ashapp.observe.observation import Observation
from ashapp.server.health.loop_monitor import Cpu, LoopMonitor, describe_request, used_cpu
from ashapp.server.health.stalls import LocalBeats
from tests.support.asgi import http_scope
from tests.support.waiting import PATIENCE, eventually

BLOCKED = "The event loop has not answered"
GOES_ON = "The event loop goes on after"


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "ashapp.server"):
        yield


class Stage:
    """A monitor with a threshold of one second, whose loop beats and whose thread looks as the test says.

    The test is the thread of the loop, too; its stack is found to be of ``request``.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.used = Cpu(0.0, 0.0)
        self.request: Observation | None = None
        self.notes: list[tuple[Observation, float]] = []
        self.monitor = LoopMonitor(
            LocalBeats(),
            threshold=1.0,
            find=lambda frame, loop: self.request,
            note=lambda *block: self.notes.append(block),
            limit=2.0,
            clock=lambda: self.now,
            cpu=lambda thread: self.used,
        )
        self.monitor._loop_thread = threading.get_ident()
        self.monitor._loop = asyncio.new_event_loop()

    def beat(self, at: float) -> None:
        self.now = at
        self.monitor._beat()

    def look(self, at: float) -> None:
        self.now = at
        self.monitor._look()


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    stage.beat(0)
    yield stage
    stage.monitor._loop.close()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    return [message.partition("\n")[0] for message in caplog.messages]


def observed(route: str | None = "/slow", endpoint: str | None = "slow") -> Observation:
    observation = Observation(http_scope("POST", b"/path"), None, lambda _: None)  # type: ignore[arg-type]
    observation.route, observation.endpoint = route, endpoint
    return observation


def observed_websocket() -> Observation:
    observation = observed(None, None)
    observation.scope = {**observation.scope, "type": "websocket"}
    del observation.scope["method"]
    return observation


def test_a_stall_is_told_once_and_its_end(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.look(1.25)
    assert lines(caplog) == []
    for at in (1.26, 2.01, 2.51):
        stage.look(at)
    assert lines(caplog) == [f"{BLOCKED} for 1.01 s. Its thread runs:"]
    stage.beat(2.75)
    stage.beat(3.0)
    stage.look(3.01)
    assert lines(caplog)[1:] == [f"{GOES_ON} 2.50 s"]


def test_the_stack_is_that_of_the_greenlet_in_which_the_loop_is(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def view() -> None:
        stage.look(2)

    greenlet(view).switch()
    (message,) = caplog.messages
    assert "in view\n    stage.look(2)" in message


def test_stalls_that_follow_soon_are_only_counted(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    for start in (0, 4, 8, 12):
        stage.beat(start)
        for after in (0, 1, 2):
            stage.look(start + after)
        stage.beat(start + 3)
        stage.look(start + 3)
    assert [re.sub(r"\. Its .*", "", line) for line in lines(caplog)] == [
        f"{BLOCKED} for 1.75 s",
        f"{GOES_ON} 2.75 s",
        f"{BLOCKED} for 1.75 s (2 more since the last report)",
        f"{GOES_ON} 2.75 s",
    ]


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (observed(), "POST '/slow' (endpoint 'slow')"),
        (observed("", "index"), "POST '' (endpoint 'index')"),
        (observed(None, None), "POST '/path'"),
        (observed_websocket(), "WebSocket '/path'"),
    ],
)
def test_the_request_that_blocks_is_told_with_what_to_do(
    stage: Stage, caplog: pytest.LogCaptureFixture, request_: Observation, name: str
) -> None:
    assert describe_request(request_) == name
    stage.request = request_
    stage.look(2)
    remedy = "Let it await, or keep it on threads, by @ashapp.on_thread or --async-views thread"
    assert lines(caplog)[0].startswith(f"{BLOCKED} for 1.75 s. It is blocked by {name}. {remedy}")


SLOW, OTHER = observed(), observed()


@pytest.mark.parametrize(
    ("seen", "noted"),
    [
        ({1: SLOW, 2: SLOW, 2.5: SLOW, 3: SLOW, 4: SLOW}, [2.25]),
        ({1.6: None, 2.0: SLOW, 3.0: SLOW, 3.9: SLOW, 4.0: SLOW, 4.5: SLOW}, [2.0]),
        ({1.6: SLOW, 2.5: None, 3.5: None, 4.4: None}, []),
        ({1.6: SLOW, 2.5: OTHER, 3.5: OTHER, 4.4: OTHER}, []),
    ],
    ids=["it blocks", "it comes later", "it is gone", "another follows"],
)
def test_a_request_that_is_seen_for_the_limit_is_noted_once_for_each_stall(
    stage: Stage, seen: dict[float, Observation | None], noted: list[float]
) -> None:
    for start in (0, 10):
        stage.beat(start)
        stage.look(start)
        for after, stage.request in seen.items():
            stage.look(start + after)
    assert [seconds for _, seconds in stage.notes] == pytest.approx(noted * 2)
    assert {request for request, _ in stage.notes} <= {SLOW}


def test_a_request_is_noted_when_its_endpoint_is_known(stage: Stage) -> None:
    stage.request = observed(endpoint=None)
    for at in (1.6, 2.5):
        stage.look(at)
    assert stage.notes == []
    stage.request.endpoint = "slow"
    stage.look(3.0)
    assert [request.endpoint for request, _ in stage.notes] == ["slow"]


@pytest.mark.parametrize(
    ("used", "blocks"),
    [(Cpu(0.0, 0.0), True), (Cpu(0.9, 0.0), True), (Cpu(0.5, 0.4), True), (Cpu(0.1, 0.9), False)],
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


HELD = "held the interpreter's lock"


@pytest.mark.parametrize(
    ("used", "who", "noted"),
    [
        (Cpu(2.0, 0.5), f"C code {HELD}", True),
        (Cpu(0.5, 2.0), f"C code of another thread {HELD}", False),
        (Cpu(0.0, 0.0), f"the process was stopped, or C code {HELD} while it waited", False),
    ],
)
def test_a_monitor_that_could_not_run_itself_says_by_whom(
    stage: Stage, caplog: pytest.LogCaptureFixture, used: Cpu, who: str, *, noted: bool
) -> None:
    stage.request = observed()
    stage.look(0.25)
    stage.used = used
    stage.look(3.5)
    stage.look(4.0)
    (line,) = lines(caplog)
    assert line.startswith(f"{BLOCKED} for 3.25 s (no other thread ran either: {who}). ")
    assert ("It is blocked by" in line) is noted
    assert stage.notes == ([(stage.request, 3.25)] if noted else [])


async def test_a_loop_that_is_blocked_is_noticed_while_it_is(caplog: pytest.LogCaptureFixture) -> None:
    beats = LocalBeats()
    lags: list[float] = []
    monitor = LoopMonitor(beats, threshold=0.01, timeout=1, on_beat=lags.append)
    await monitor.start()
    deadline = time.monotonic() + PATIENCE
    while not any(BLOCKED in message for message in caplog.messages):
        assert time.monotonic() < deadline, "not noticed"
        time.sleep(0.001)  # noqa: ASYNC251 - blocks the loop on purpose
    assert "in test_a_loop_that_is_blocked_is_noticed_while_it_is" in caplog.text
    await eventually(lambda: GOES_ON in caplog.text)
    assert beats.value == len(lags) > 1
    assert max(lags) > 0.01
    await monitor.stop()
    told = len(lags)
    await eventually(lambda: beats.value > told)
    assert len(lags) == told
    await eventually(lambda: "ashapp-loop-monitor" not in {thread.name for thread in threading.enumerate()})


def work() -> None:
    end = time.thread_time() + 0.1
    while time.thread_time() < end:
        pass


def test_processor_time_of_a_thread_is_told_from_that_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    me = threading.get_ident()
    before = used_cpu(me)
    work()
    used = used_cpu(me).since(before)
    assert used.loop >= max(0.1, used.others)
    before = used_cpu(me)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    used = used_cpu(me).since(before)
    assert used.others >= max(0.1, used.loop)
    monkeypatch.delattr(time, "pthread_getcpuclockid")  # where the system does not tell
    monkeypatch.setattr(time, "process_time", lambda: 3.0)
    assert used_cpu(threading.get_ident()) == Cpu(0.0, 3.0)
