# SPDX-License-Identifier: MIT
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.inspection.announcements import Kind
from ashapp.server.processes import supervisor
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


def test_a_worker_that_dies_is_replaced_at_once(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = service.begin()
    assert service.states == {100: "READY", 101: "READY"}
    service.ended(first, -9)
    assert service.states == {101: "READY", 102: "STARTING"}
    assert service.management.forgotten == [100]
    assert caplog.messages == ["Worker 100 ended with exit code -9; another is started"]


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


def test_a_worker_that_serves_ends_the_back_off(service: Service) -> None:
    service.act()
    for _ in range(5):
        service.ended(service.started[-1], 1)
    assert service.states == {100: "STARTING"}
    service.ready(service.started[0])
    assert len(service.states) == 2


def test_workers_that_have_served_are_replaced_at_once_however_often_they_die(service: Service) -> None:
    """As an application does that one of its requests can kill: the others go on to be answered."""
    service.begin()
    for number in range(20):
        service.ended(service.started[number], -9)
        service.ready(service.started[-1])
        assert list(service.states.values()) == ["READY", "READY"]


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


def test_a_service_goes_on_without_a_worker_that_can_not_start_any_more(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = service.begin()
    service.ended(first, -9)
    service.ended(service.started[2], 3)
    assert service.states == {101: "READY", 103: "STARTING"}
    assert "Worker 102 could not start; another is started" in caplog.messages


@pytest.mark.parametrize("reason", ["importing 'shop' failed", None])
def test_a_replacement_that_can_not_start_leaves_the_old_workers(
    service: Service, caplog: pytest.LogCaptureFixture, reason: str | None
) -> None:
    service.begin()
    service.act(signal.SIGHUP)
    if reason:
        service.started[2].reported(Report.REFUSED, reason)
    service.ended(service.started[2], 2 if reason else 3)
    service.act()
    assert service.states == {100: "READY", 101: "READY"}
    told = [reason] if reason else []
    assert caplog.messages == [*told, "Worker 102 could not start; worker 100 goes on"]


def test_sighup_replaces_workers_one_by_one_and_none_ends_before_another_serves(service: Service) -> None:
    first, second = service.begin()
    service.act(signal.SIGHUP)
    assert service.states == {100: "READY", 101: "READY", 102: "STARTING"}
    service.act()
    service.ready(service.started[2])
    assert service.states == {100: "DRAINING", 101: "READY", 102: "READY"}
    assert first.orders == [(Order.RETIRE, "")]
    service.act()
    assert len(service.started) == 3, "the next waits until the first is gone"
    service.ended(first, 0)
    assert service.started[3].replaces is second
    service.ready(service.started[3])
    service.ended(second, 0)
    service.act()
    assert service.states == {102: "READY", 103: "READY"}


def test_sighup_while_workers_start_replaces_these_too(service: Service) -> None:
    service.act()
    service.act(signal.SIGHUP, signal.SIGHUP)
    assert len(service.started) == 2
    service.ready(*service.started)
    assert service.started[2].replaces is service.started[0]
    service.ready(service.started[2])
    service.ended(service.started[0], 0)
    service.ready(service.started[3])
    service.ended(service.started[1], 0)
    assert service.states == {102: "READY", 103: "READY"}


def test_a_replacement_stays_when_what_it_replaces_dies_meanwhile(service: Service) -> None:
    first, _ = service.begin()
    service.act(signal.SIGHUP)
    service.ended(first, -9)
    assert service.states == {101: "READY", 102: "STARTING"}
    service.ready(service.started[2])
    assert service.states == {101: "READY", 102: "READY", 103: "STARTING"}


def test_a_worker_that_dies_before_its_turn_is_not_replaced_twice(service: Service) -> None:
    first, second = service.begin()
    service.act(signal.SIGHUP)
    service.ended(second, -9)
    service.ready(*service.started[2:])
    service.ended(first, 0)
    assert service.states == {102: "READY", 103: "READY"}


def test_a_worker_that_is_worn_is_replaced_once(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ashapp.server")
    first, _ = service.begin()
    for _ in range(2):
        first.reported(Report.RECYCLE, "it has answered 9 requests")
        service.act()
    assert [worker.replaces for worker in service.started[2:]] == [first]
    service.ready(service.started[2])
    first.reported(Report.RECYCLE, "it has answered 9 requests")
    service.ended(first, 0)
    assert service.states == {101: "READY", 102: "READY"}
    assert caplog.messages.count("Worker 100 is to be replaced: it has answered 9 requests") == 1


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


def test_a_worker_that_is_stalled_is_replaced_at_once_and_killed_when_its_stacks_are_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = service.begin()
    first.reported(Report.STACKS_LOGGED)
    service.act()
    assert service.states[100] == "READY", "that came too late"
    first.has_stalled = True
    service.act()
    assert service.states == {100: "STALLED", 101: "READY", 102: "STARTING"}
    assert first.orders == [(Order.LOG_STACKS, "")]
    assert caplog.messages == [
        "The event loop of worker 100 has not answered for 5 s; it is killed, and another is started"
    ]
    first.reported(Report.STACKS_LOGGED)
    service.act()
    service.act()
    assert service.states == {101: "READY", 102: "STARTING"}


def test_a_stalled_worker_that_can_not_log_its_stacks_is_aborted_and_then_killed(service: Service) -> None:
    first, _ = service.begin()
    first.has_stalled = True
    service.act()
    for state in ("ABORTED", "KILLED"):
        first.deadline = 0
        service.act()
        assert first.state.name == state


def test_a_worker_that_does_not_end_is_killed(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = service.begin()
    service.act(signal.SIGHUP)
    service.ready(service.started[2])
    assert 21 < first.deadline - time.monotonic() < 23
    first.deadline = 0
    service.act()
    assert first.state is State.KILLED
    assert "Worker 100 takes too long to end; it is killed" in caplog.messages


def test_workers_are_added_and_removed(service: Service) -> None:
    service.begin()
    service.act(signal.SIGTTIN)
    assert service.states == {100: "READY", 101: "READY", 102: "STARTING"}
    service.act(signal.SIGTTOU, signal.SIGTTOU, signal.SIGTTOU)
    assert service.states == {100: "READY", 101: "DRAINING", 102: "STARTING"}
    service.ready(service.started[2])
    assert service.states == {100: "READY", 101: "DRAINING", 102: "DRAINING"}


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
        ([signal.SIGUSR1, signal.SIGUSR2], [], float("inf")),
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
    assert len(service.started) == (4 if not orders else 2)


def test_a_worker_that_has_not_served_need_not_drain(service: Service) -> None:
    service.act()
    service.ready(service.started[0])
    service.act(T)
    starting = service.started[1]
    assert 5 < starting.deadline - time.monotonic() < 7
    service.act(T)
    assert service.states == {100: "DRAINING"}, "it has been killed"


def test_a_worker_that_retires_ends_with_the_service(service: Service) -> None:
    first, _ = service.begin()
    service.act(signal.SIGHUP)
    service.ready(service.started[2])
    service.act(T, T)
    assert first.orders == [(Order.RETIRE, ""), (Order.DRAIN, ""), (Order.HURRY, "")]


@pytest.mark.usefixtures("handlers")
def test_signals_and_ends_are_acted_on_at_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is only found out when the time for a look has come; and a channel that has ended wakes nobody."""
    monkeypatch.setattr(supervisor, "_TICK", 60)

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
