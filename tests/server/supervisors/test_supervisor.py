# SPDX-License-Identifier: MIT
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.fault_injection.board import FaultBoard
from ashapp.server.fault_injection.fault import Unready
from ashapp.server.serving.announcements import Kind
from ashapp.server.supervisors import backoff
from ashapp.server.supervisors.supervisor import Supervisor
from ashapp.server.supervisors.worker import State
from ashapp.server.supervisors.worker_process import Order, Report
from tests.server.supervisors.stub_worker import Service, led
from tests.support.waiting import until


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the time between the starts of workers be what a test says."""
    clock = Clock()
    monkeypatch.setattr(backoff, "time", clock)
    return clock


@pytest.fixture
def handlers() -> Iterator[None]:
    """Restore the handlers of signals that a supervisor installs when it runs."""
    before = {signum: signal.getsignal(signum) for signum in Supervisor.signals}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


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
