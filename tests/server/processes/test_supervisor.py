# SPDX-License-Identifier: MIT
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.faults.board import FaultBoard
from ashapp.server.faults.fault import Unready
from ashapp.server.inspection.announcements import Kind
from ashapp.server.processes.supervisor import Supervisor
from ashapp.server.processes.worker import State
from ashapp.server.processes.worker_process import Order, Report
from ashapp.server.system.signals import numbers
from tests.server.processes.stub_worker import Service, led
from tests.support.waiting import until


@pytest.fixture
def service(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Service]:
    """Return a service with two workers, or with what the test's ``flags`` say."""
    caplog.set_level(logging.WARNING, "ashapp.server")
    made = Service(**getattr(request, "param", {}))
    yield made
    made.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(service: Service) -> Clock:
    """Let the time between the starts of workers be what a test says."""
    service.supervisor._back_off._clock = clock = Clock()
    return clock


@pytest.fixture
def handlers() -> Iterator[None]:
    """Restore the handlers of signals that a supervisor installs when it runs."""
    before = {signum: signal.getsignal(signum) for signum in numbers(*Supervisor.signals)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


#: What happens, round by round, and how the workers are then: S(tarting), R(eady), D(raining), T (stalled),
#: A(borted) and K(illed). Two workers are ready before, unless a life begins with their start.
LIVES = {
    "a worker that dies is replaced at once": """
        dies 100 -9       101 R  102 S      Worker 100 ended with exit code -9; another is started
    """,
    "a worker that serves ends the back-off": """
        starts            100 S  101 S
        dies 100 1        101 S  102 S      Worker 100 ended with exit code 1; another is started
        dies 101 1        102 S  103 S      Worker 101 ended with exit code 1; another is started
        dies 102 1        103 S  104 S      Worker 102 ended with exit code 1; another is started
        dies 103 1        104 S  105 S      Worker 103 ended with exit code 1; another is started
        dies 104 1        105 S             Worker 104 ended with exit code 1; another is started in 1 s
        ready 105         105 R  106 S
    """,
    "workers that have served are replaced at once however often they die": """
        dies 100 -9       101 R  102 S      Worker 100 ended with exit code -9; another is started
        ready 102         101 R  102 R
        dies 101 -9       102 R  103 S      Worker 101 ended with exit code -9; another is started
        ready 103         102 R  103 R
        dies 102 -9       103 R  104 S      Worker 102 ended with exit code -9; another is started
        ready 104         103 R  104 R
        dies 103 -9       104 R  105 S      Worker 103 ended with exit code -9; another is started
        ready 105         104 R  105 R
        dies 104 -9       105 R  106 S      another is started
    """,
    "it goes on without a worker that can't start any more": """
        dies 100 -9       101 R  102 S      Worker 100 ended with exit code -9; another is started
        dies 102 3        101 R  103 S      Worker 102 could not start; another is started
    """,
    "a replacement that can't start leaves the old workers": """
        signal HUP        100 R  101 R  102 S
        dies 102 3        100 R  101 R      Worker 102 could not start; worker 100 goes on
        waits             100 R  101 R
    """,
    "and so does one that says why": """
        signal HUP        100 R  101 R  102 S
        refuses 102       100 R  101 R  102 S
        dies 102 2        100 R  101 R      no module      Worker 102 could not start; worker 100 goes on
    """,
    "SIGHUP replaces workers one by one, and none ends before another serves": """
        signal HUP        100 R  101 R  102 S
        waits             100 R  101 R  102 S
        ready 102         100 D  101 R  102 R
        waits             100 D  101 R  102 R
        dies 100 0        101 R  102 R  103 S
        ready 103         101 D  102 R  103 R
        dies 101 0        102 R  103 R
        waits             102 R  103 R
    """,
    "SIGHUP replaces many workers in two steps": """
        signal TTIN TTIN  100 R  101 R  102 S  103 S
        ready 102 103     100 R  101 R  102 R  103 R
        signal HUP        100 R  101 R  102 R  103 R  104 S  105 S
        ready 104         100 R  101 R  102 R  103 R  104 R  105 S
        ready 105         100 D  101 D  102 R  103 R  104 R  105 R
        dies 101 0        100 D  102 R  103 R  104 R  105 R
        dies 100 0        102 R  103 R  104 R  105 R  106 S  107 S
        dies 107 -9       102 R  103 R  104 R  105 R  106 S      Worker 107 ended
        ready 106         102 D  103 R  104 R  105 R  106 R
        dies 102 0        103 R  104 R  105 R  106 R  108 S
        ready 108         103 D  104 R  105 R  106 R  108 R
    """,
    "a new worker that stalls takes no place": """
        signal HUP TTIN   100 R  101 R  102 S  103 S  104 S
        ready 103         100 R  101 R  102 S  103 R  104 S
        stalls 103        100 R  101 R  102 S  103 T  104 S      worker 103 has not answered
        ready 102         100 D  101 R  102 R  103 T  104 S
        dies 103 -9       100 D  101 R  102 R  104 S
        dies 100 0        101 R  102 R  104 S  105 S
    """,
    "SIGHUP while workers start replaces these too, once": """
        starts            100 S  101 S
        signal HUP HUP    100 S  101 S
        ready 100         100 R  101 S  102 S
        ready 101         100 R  101 R  102 S
        ready 102         100 D  101 R  102 R
        dies 100 0        101 R  102 R  103 S
        ready 103         101 D  102 R  103 R
        dies 101 0        102 R  103 R
    """,
    "a replacement stays when what it replaces dies meanwhile": """
        signal HUP        100 R  101 R  102 S
        dies 100 -9       101 R  102 S      Worker 100 ended with exit code -9; another is started
        ready 102         101 R  102 R  103 S
    """,
    "a worker that dies before its turn is not replaced twice": """
        signal HUP        100 R  101 R  102 S
        dies 101 -9       100 R  102 S  103 S      Worker 101 ended with exit code -9; another is started
        ready 102 103     100 D  102 R  103 R
        dies 100 0        102 R  103 R
    """,
    "a worker that is worn is replaced once": """
        recycle 100       100 R  101 R  102 S
        recycle 100       100 R  101 R  102 S
        ready 102         100 D  101 R  102 R
        recycle 100       100 D  101 R  102 R
        dies 100 0        101 R  102 R
    """,
    "a worker that is stalled is replaced at once, and killed when its stacks are logged": """
        logged 100        100 R  101 R
        stalls 100        100 T  101 R  102 S      worker 100 has not answered for 5 s; it is killed
        logged 100        101 R  102 S
    """,
    "one that can't log its stacks is aborted, and then killed": """
        stalls 100        100 T  101 R  102 S      worker 100 has not answered for 5 s; it is killed
        late 100          100 A  101 R  102 S
        late 100          100 K  101 R  102 S
    """,
    "a worker that does not end is killed": """
        signal HUP        100 R  101 R  102 S
        ready 102         100 D  101 R  102 R
        late 100          100 K  101 R  102 R  103 S      Worker 100 takes too long to end; it is killed
    """,
    "workers are added and removed": """
        signal TTIN       100 R  101 R  102 S
        signal TTOU TTOU TTOU    100 R  101 D  102 S
        ready 102         100 R  101 D  102 D
    """,
    "a worker that has not served need not drain": """
        starts            100 S  101 S
        ready 100         100 R  101 S
        signal TERM       100 D  101 D
        signal TERM       100 D
    """,
}


def happens(service: Service, what: str) -> None:
    """Let that happen, and the supervisor act on it."""
    event, *words = what.split()
    if event == "signal":
        service.act(*(signal.Signals[f"SIG{word}"] for word in words))
        return
    for worker in [each for each in service.started if str(each.pid) in words]:
        match event:
            case "dies":
                worker.end_with(int(words[1]))
            case "late":
                worker.deadline = 0
            case "stalls":
                worker.has_stalled = True
            case _:
                reports = {
                    "ready": (Report.READY, ""),
                    "refuses": (Report.REFUSED, "no module"),
                    "recycle": (Report.RECYCLE, "it has answered 9 requests"),
                    "logged": (Report.STACKS_LOGGED, ""),
                }
                worker.reported(*reports[event])
    service.act()


@pytest.mark.parametrize("life", LIVES)
def test_a_life(service: Service, caplog: pytest.LogCaptureFixture, life: str) -> None:
    if "starts" not in LIVES[life]:
        service.begin()
    for line in LIVES[life].strip().splitlines():
        what, *rest = re.split(r"  +", line.strip())
        states = [word for word in rest if re.fullmatch(r"\d+ [A-Z]", word)]
        caplog.clear()
        happens(service, what)
        letters = {"STALLED": "T"}
        found = {pid: letters.get(name, name[0]) for pid, name in service.states.items()}
        assert [f"{pid} {letter}" for pid, letter in sorted(found.items())] == states, line
        told = rest[len(states) :]
        assert len(caplog.messages) == len(told), line
        assert all(part in message for part, message in zip(told, caplog.messages, strict=True)), line


@pytest.mark.parametrize("service", [{"workers": 1}], indirect=True)
def test_workers_that_die_before_they_serve_are_replaced_less_often(
    service: Service, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    service.act()
    seconds = ["", "", " in 1 s", " in 2 s", " in 4 s", " in 8 s", " in 16 s", " in 30 s", " in 30 s"]
    for worker in range(len(seconds)):
        clock.now += 30
        service.act()
        service.ended(service.started[worker], 1)
    assert service.states == {}
    ended = "Worker {} ended with exit code 1; another is started{}"
    assert caplog.messages == [ended.format(100 + number, wait) for number, wait in enumerate(seconds)]
    clock.now += 29
    service.act()
    assert service.states == {}


@pytest.mark.parametrize(
    ("service", "is_late", "message"),
    [
        ({}, False, "Worker 100 could not start; the service ends"),
        ({}, True, "Worker 100 takes too long to start; it is killed"),
    ],
    indirect=["service"],
)
@pytest.mark.usefixtures("handlers")
def test_a_service_whose_first_worker_can_not_start_ends(
    service: Service, caplog: pytest.LogCaptureFixture, message: str, *, is_late: bool
) -> None:
    service.act()
    with socket.socket() as listener:
        service.options.sockets.append(listener)
        if is_late:
            service.started[0].deadline = 0
        else:
            service.started[0].end_with(3)
        assert service.supervisor.run() == 3
        assert listener.fileno() == -1
    assert service.started[1].state is State.LATE
    assert caplog.messages[0] == message


@pytest.mark.usefixtures("handlers")
def test_a_first_worker_that_says_why_it_can_not_start_has_said_all(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ashapp.server")
    service.act()
    service.started[0].reported(Report.REFUSED, "there is no module 'shop'")
    service.ended(service.started[0], 2)
    with pytest.raises(StartupError, match="there is no module 'shop'"):
        service.supervisor.run()
    assert caplog.messages == []


def test_what_workers_tell_of_the_application_is_passed_on(service: Service) -> None:
    service.act()
    service.started[0].reported(Kind.WARNING, "no key")
    service.act()
    assert service.told == [(Kind.WARNING, "no key")]


def test_what_blocks_loops_is_known_until_the_application_is_imported_anew(service: Service) -> None:
    first, second = service.begin()
    for worker, endpoint in ((first, "slow"), (second, "slow"), (second, "other")):
        worker.reported(Report.BLOCKED, endpoint)
    service.act()
    assert service.options.blocks == {"slow": 2, "other": 1}
    assert first.orders == second.orders == [(Order.KEEP_OFF, "slow")]
    service.act(signal.SIGHUP)
    assert service.options.blocks == {}


def test_faults_reach_the_workers_that_serve_once(service: Service) -> None:
    board = service.management.faults = FaultBoard()
    first, second = service.begin()
    board.add(Unready(worker="one"), [100, 101])
    service.act()
    service.act()
    assert [order for order, _ in first.orders + second.orders] == [Order.FAULTS] * 2
    assert ["unready" in text for _, text in first.orders + second.orders] == [True, False]
    service.ended(first, -9)
    assert board.wanted() == []
    third = service.started[2]
    service.act()
    assert third.orders == []
    service.ready(third)
    assert third.orders == [(Order.FAULTS, "[]")]


@pytest.mark.parametrize(("ago", "times"), [(0, 2), (60, 1)])
def test_a_view_that_stalls_a_worker_to_its_end_does_not_do_so_to_the_next(
    service: Service, ago: float, times: int
) -> None:
    first, _ = service.begin()
    first.reported(Report.BLOCKED, "slow")
    service.act()
    first.blocked_by = ("slow", time.monotonic() - ago)
    first.has_stalled = True
    service.act()
    assert service.options.blocks == {"slow": times}


def test_workers_that_are_to_be_replaced_give_way_while_enough_others_serve(service: Service) -> None:
    service.act(signal.SIGTTIN)
    service.begin()
    old = service.started[:3]
    service.act(signal.SIGHUP)
    service.ready(service.started[3])
    assert [worker.orders for worker in old] == [[], [], []], "one of three new workers is not enough"
    service.ready(service.started[4])
    retired, given = [(Order.RETIRE, "")], [(Order.GIVE_WAY, "")]
    assert [worker.orders for worker in old] == [retired, retired, given]
    service.ended(service.started[4], -9)
    assert old[2].orders == [*given, (Order.ACCEPT, "")]
    service.ready(service.started[5])
    assert old[2].orders == [*given, (Order.ACCEPT, ""), *given]
    assert [worker.orders for worker in service.started[3:]] == [[], [], []]


def test_no_process_can_be_started_for_a_while(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.failure = OSError(11, "Resource temporarily unavailable")
    for _ in range(4):
        service.act()
    message = "No worker can be started: [Errno 11] Resource temporarily unavailable; next attempt"
    assert caplog.messages == [message] * 4 + [f"{message} in 1 s"]


T, Q = signal.SIGTERM, signal.SIGQUIT


@pytest.mark.parametrize(
    ("signals", "orders", "seconds"),
    [
        ([signal.SIGINT], [Order.DRAIN], 27),
        ([T, signal.SIGHUP], [Order.DRAIN], 27),
        ([T, T], [Order.DRAIN, Order.HURRY], 22),
        ([Q], [Order.HURRY], 22),
        ([signal.SIGUSR1, signal.SIGUSR2], [Order.REOPEN_LOGS], float("inf")),
    ],
)
def test_what_a_signal_orders(
    service: Service, signals: list[int], orders: list[Order], seconds: float
) -> None:
    workers = service.begin()
    service.act(*signals)
    for worker in workers:
        assert worker.orders == [(order, "") for order in orders]
        left = worker.deadline - time.monotonic()
        assert seconds == left or seconds - 1 < left < seconds + 1
        service.ended(worker, 0)
    assert len(service.started) == (4 if seconds == float("inf") else 2)


def test_a_worker_that_retires_ends_with_the_service(service: Service) -> None:
    first, _ = service.begin()
    service.act(signal.SIGHUP)
    service.ready(service.started[2])
    assert 21 < first.deadline - time.monotonic() < 23
    service.act(signal.SIGTTIN)
    service.act(T)
    assert 5 < service.started[3].deadline - time.monotonic() < 7, "it has not served"
    service.act(T)
    assert first.orders == [(Order.RETIRE, ""), (Order.DRAIN, ""), (Order.HURRY, "")]


@pytest.mark.usefixtures("handlers")
def test_signals_and_ends_are_acted_on_at_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is only found out when the time for a look has come; and a channel that has ended wakes nobody."""
    monkeypatch.setattr(Supervisor, "tick", 60)

    def lead() -> None:
        until(lambda: len(service.started) == 2)
        service.started[0].theirs.close()
        until(lambda: service.started[0].channel.closed)
        os.kill(os.getpid(), T)
        until(lambda: service.started[1].orders)
        for worker in service.started:
            worker.end_with(0)

    with led(lead):
        assert service.supervisor.run() == 0
