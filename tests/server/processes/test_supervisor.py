# SPDX-License-Identifier: MIT
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.inspection.announcements import Kind
from ashapp.server.processes import supervisor
from ashapp.server.processes.supervisor import Supervisor
from ashapp.server.processes.worker_handle import Blocking, Order, Report, State, Worker
from ashapp.server.settings.loading import load
from tests.support.waiting import PATIENCE


class StubWorker(Worker):
    """A worker without a process: a test says what it reports, and when it ends."""

    def __init__(self, pid: int, replaces: Worker | None) -> None:
        self.replaces = replaces
        self.is_aborted = self.is_killed = self.has_served = self.is_silent = False
        self.refusal = None
        self.state = State.STARTING
        self.deadline = float("inf")
        self.orders: list[Order | Blocking] = []
        self.news: list[tuple[Report | Kind, str]] = []
        self.code: int | None = None
        self.is_blocked = False
        self.blocked_by = None
        self.blocked_at = 0.0
        self.number = pid
        self.sentinel, self.alive = socket.socketpair()
        self.channel = self.sentinel.dup()  # type: ignore[assignment]
        self.process: Any = SimpleNamespace(sentinel=self.sentinel, is_alive=lambda: self.code is None)

    @property
    def pid(self) -> int:
        return self.number

    @property
    def exit_code(self) -> int | None:
        return self.code

    @property
    def is_stalled(self) -> bool:
        return self.is_blocked

    def reports(self) -> Iterator[tuple[Report | Kind, str]]:
        while self.news:
            yield self.news.pop(0)

    def order(self, order: Order | Blocking) -> None:
        self.orders.append(order)

    def kill(self) -> None:
        self.is_killed = True
        self.end_with(-9)

    def abort(self, seconds: float) -> None:
        self.is_aborted = True
        self.deadline = time.monotonic() + seconds

    def end_with(self, code: int) -> None:
        self.code = code
        self.alive.close()

    def bury(self) -> str:
        self.sentinel.close()
        self.channel.close()
        return f"ended with exit code {self.code}"


class Service:
    """A supervisor that a test leads from round to round, and all workers that it has started."""

    def __init__(self, **flags: Any) -> None:
        self.started: list[StubWorker] = []
        self.forgotten: list[int] = []
        self.listens = True
        self.failure: OSError | None = None
        settings = load({"drain_delay": 5, "stall_timeout": 5, **flags})
        self.told: list[tuple[Kind, str]] = []
        self.supervisor = Supervisor(
            settings, self.start, self.stop_listening, self.forgotten.append, self.tell
        )

    def start(self, replaces: Worker | None) -> Worker:
        if self.failure is not None:
            raise self.failure
        worker = StubWorker(100 + len(self.started), replaces)
        self.started.append(worker)
        return worker

    def tell(self, kind: Kind, line: str) -> None:
        self.told.append((kind, line))

    def stop_listening(self) -> None:
        self.listens = False

    def act(self, *signals: int) -> None:
        self.supervisor._signals.extend(signals)
        self.supervisor._act()

    def ready(self, *workers: StubWorker) -> None:
        for worker in workers:
            worker.news.append((Report.READY, ""))
        self.act()

    def begin(self) -> list[StubWorker]:
        """Start; return the first workers, which serve."""
        self.act()
        first = list(self.started)
        self.ready(*first)
        return first

    @property
    def states(self) -> dict[int, str]:
        return {worker.pid: worker.state.name for worker in self.supervisor._workers}


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return a service with two workers, or with what the test's ``flags`` say."""
    made = Service(**{"workers": 2, **getattr(request, "param", {})})
    yield made
    for worker in made.started:
        for sock in (worker.sentinel, worker.channel, worker.alive):
            sock.close()


def test_as_many_workers_as_there_should_be_are_started(service: Service) -> None:
    service.begin()
    service.act()
    assert service.states == {100: "SERVING", 101: "SERVING"}
    assert [worker.replaces for worker in service.started] == [None, None]


def test_a_worker_that_dies_is_replaced_at_once(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.begin()[0].end_with(-9)
    service.act()
    assert service.states == {101: "SERVING", 102: "STARTING"}
    assert service.forgotten == [100]
    assert "Worker 100 ended with exit code -9; another is started" in caplog.messages


@pytest.mark.parametrize("service", [{"workers": 1}], indirect=True)
def test_workers_that_die_soon_are_replaced_less_often(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    for worker in range(3):
        service.act()
        service.started[worker].end_with(1)
        service.act()
    assert service.states == {}
    assert caplog.messages[-1] == "Worker 102 ended with exit code 1; another is started in 1 s"


def test_workers_that_have_served_are_replaced_at_once_however_often_they_die(service: Service) -> None:
    """As an application does that one of its requests can kill: the others go on to be answered."""
    service.begin()
    for number in range(20):
        service.started[number].end_with(-9)
        service.act()
        service.ready(service.started[-1])
        assert list(service.states.values()) == ["SERVING", "SERVING"]


def test_a_worker_that_serves_ends_the_back_off(service: Service) -> None:
    service.act()
    for _ in range(4):
        service.started[-1].end_with(1)
        service.act()
    service.started[-1].end_with(1)
    service.act()
    assert service.states == {100: "STARTING"}
    service.ready(service.started[0])
    service.act()
    assert len(service.states) == 2


def test_a_worker_that_cannot_start_ends_the_service(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.act()
    service.started[0].end_with(3)
    assert service.supervisor.run() == 3
    assert service.started[1].is_killed
    assert not service.listens
    assert "Worker 100 could not start; the service ends" in caplog.messages


def test_a_worker_that_takes_too_long_to_start_is_one_that_cannot(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.act()
    service.started[1].deadline = 0
    assert service.supervisor.run() == 3
    assert "Worker 101 takes too long to start; it is killed" in caplog.messages


def test_a_service_goes_on_without_a_worker_that_cannot_start_any_more(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = service.begin()
    first.end_with(-9)
    service.act()
    service.started[2].end_with(3)
    service.act()
    assert service.states == {101: "SERVING", 103: "STARTING"}
    assert "Worker 102 could not start; another is started" in caplog.messages


def test_sighup_replaces_workers_one_by_one_and_none_ends_before_another_serves(service: Service) -> None:
    first, second = service.begin()
    service.act(signal.SIGHUP)
    assert service.states == {100: "SERVING", 101: "SERVING", 102: "STARTING"}
    service.act()
    service.ready(service.started[2])
    assert service.states == {100: "ENDING", 101: "SERVING", 102: "SERVING"}
    assert first.orders == [Order.RETIRE]
    service.act()
    assert len(service.started) == 3, "the next waits until the first is gone"
    first.end_with(0)
    service.act()
    assert service.started[3].replaces is second
    service.ready(service.started[3])
    second.end_with(0)
    service.act()
    service.act()
    assert service.states == {102: "SERVING", 103: "SERVING"}
    assert service.forgotten == [100, 101]


def test_sighup_while_workers_start_replaces_these_too(service: Service) -> None:
    service.act()
    service.act(signal.SIGHUP, signal.SIGHUP)
    service.act()
    assert len(service.started) == 2
    service.ready(service.started[0])
    assert service.started[2].replaces is service.started[0]
    assert len(service.supervisor._outdated) == 1


def test_a_first_worker_that_says_why_it_cannot_start_has_said_all(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    service.act()
    first, second = service.started
    first.news.append((Report.REFUSED, "there is no module 'shop'"))
    first.end_with(2)
    service.act()
    assert second.is_killed
    with pytest.raises(StartupError, match="there is no module 'shop'"):
        service.supervisor.run()
    assert caplog.messages == []


def test_a_replacement_that_says_why_it_cannot_start_is_done_without(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.begin()
    service.act(signal.SIGHUP)
    service.started[2].news.append((Report.REFUSED, "importing 'shop' failed"))
    service.started[2].end_with(2)
    service.act()
    assert service.states == {100: "SERVING", 101: "SERVING"}
    assert caplog.messages[-2:] == [
        "importing 'shop' failed",
        "Worker 102 could not start; worker 100 goes on",
    ]


def test_what_workers_tell_of_the_application_is_passed_on(service: Service) -> None:
    service.act()
    service.started[0].news.append((Kind.WARNING, "no key"))
    service.act()
    assert service.told == [(Kind.WARNING, "no key")]


def test_a_replacement_that_cannot_start_leaves_the_old_workers(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.begin()
    service.act(signal.SIGHUP)
    service.started[2].end_with(3)
    service.act()
    service.act()
    assert service.states == {100: "SERVING", 101: "SERVING"}
    assert "Worker 102 could not start; worker 100 goes on" in caplog.messages


def test_a_replacement_stays_when_what_it_replaces_dies_meanwhile(service: Service) -> None:
    first, _ = service.begin()
    service.act(signal.SIGHUP)
    first.end_with(-9)
    service.act()
    assert service.states == {101: "SERVING", 102: "STARTING"}
    service.ready(service.started[2])
    assert service.states == {101: "SERVING", 102: "SERVING", 103: "STARTING"}


def test_what_blocks_loops_is_known_until_the_application_is_imported_anew(service: Service) -> None:
    first, second = service.begin()
    for worker, endpoint in ((first, "slow"), (second, "slow"), (second, "other")):
        worker.news.append((Report.BLOCKED, endpoint))
    service.act()
    assert service.supervisor.blocks == {"slow": 2, "other": 1}
    assert first.orders == second.orders == [Blocking("slow")]
    service.act(signal.SIGHUP)
    assert service.supervisor.blocks == {}


@pytest.mark.parametrize(("ago", "times"), [(0, 2), (60, 1)])
def test_a_view_that_stalls_a_worker_to_its_end_does_not_do_so_to_the_next(
    service: Service, ago: float, times: int
) -> None:
    first, _ = service.begin()
    first.news.append((Report.BLOCKED, "slow"))
    service.act()
    first.blocked_at -= ago
    first.is_blocked = True
    service.act()
    assert service.supervisor.blocks == {"slow": times}


def test_a_worker_that_dies_before_its_turn_is_not_replaced_twice(service: Service) -> None:
    first, second = service.begin()
    service.act(signal.SIGHUP)
    second.end_with(-9)
    service.act()
    service.ready(*service.started[2:])
    first.end_with(0)
    service.act()
    assert service.states == {102: "SERVING", 103: "SERVING"}


def test_a_worker_that_is_worn_is_replaced(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first, _ = service.begin()
    for _ in range(2):
        first.news.append((Report.WORN, "it has answered 9 requests"))
        service.act()
    assert [worker.replaces for worker in service.started[2:]] == [first]
    assert caplog.messages.count("Worker 100 is to be replaced: it has answered 9 requests") == 1
    service.ready(service.started[2])
    first.news.append((Report.WORN, "it has answered 9 requests"))
    service.act()
    assert first.state is State.ENDING
    assert not service.supervisor._outdated


def test_a_worker_that_is_stalled_is_replaced_at_once_and_killed_when_it_has_told(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = service.begin()
    first.is_blocked = True
    service.act()
    assert service.states == {100: "CONDEMNED", 101: "SERVING", 102: "STARTING"}
    assert first.orders == [Order.TELL]
    assert caplog.messages == [
        "The event loop of worker 100 has not answered for 5 s; it is killed, and another is started"
    ]
    assert not first.is_killed
    first.news.append((Report.TOLD, ""))
    service.act()
    assert first.is_killed
    service.act()
    assert service.states == {101: "SERVING", 102: "STARTING"}


def test_a_worker_that_cannot_tell_is_aborted_and_then_killed(service: Service) -> None:
    first, _ = service.begin()
    first.is_blocked = True
    service.act()
    first.deadline = 0
    service.act()
    assert first.is_aborted
    assert not first.is_killed
    first.deadline = 0
    service.act()
    assert first.is_killed


def test_what_is_told_too_late_is_of_no_use(service: Service) -> None:
    first, _ = service.begin()
    first.news.append((Report.TOLD, ""))
    service.act()
    assert first.state is State.SERVING


def test_a_worker_that_does_not_end_is_killed(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = service.begin()
    service.act(signal.SIGHUP)
    service.ready(service.started[2])
    assert 21 < first.deadline - time.monotonic() < 23
    first.deadline = 0
    service.act()
    assert first.is_killed
    assert "Worker 100 takes too long to end; it is killed" in caplog.messages


def test_workers_are_added_and_removed(service: Service) -> None:
    service.begin()
    service.act(signal.SIGTTIN)
    assert service.states == {100: "SERVING", 101: "SERVING", 102: "STARTING"}
    service.act(signal.SIGTTOU, signal.SIGTTOU, signal.SIGTTOU)
    assert service.states == {100: "SERVING", 101: "ENDING", 102: "STARTING"}
    service.ready(service.started[2])
    service.act()
    assert service.states == {100: "SERVING", 101: "ENDING", 102: "ENDING"}


def test_no_process_can_be_started_for_a_while(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.failure = OSError(11, "Resource temporarily unavailable")
    for _ in range(4):
        service.act()
    message = "No worker can be started: [Errno 11] Resource temporarily unavailable; next attempt"
    assert caplog.messages == [message] * 4 + [f"{message} in 1 s"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_service(service: Service, signum: int) -> None:
    first, second = service.begin()
    service.act(signum)
    assert not service.listens
    assert first.orders == second.orders == [Order.DRAIN]
    assert 26 < first.deadline - time.monotonic() < 28
    service.act(signal.SIGHUP)
    first.end_with(0)
    service.act()
    assert service.states == {101: "ENDING"}
    second.end_with(0)
    assert service.supervisor.run() == 0
    assert len(service.started) == 2


def test_a_second_signal_hurries(service: Service) -> None:
    first, second = service.begin()
    service.act(signal.SIGTTIN)
    service.act(signal.SIGTERM)
    service.act(signal.SIGTERM)
    assert first.orders == second.orders == [Order.DRAIN, Order.HURRY]
    assert 21 < first.deadline - time.monotonic() < 23
    assert service.started[2].is_killed, "it has not even started"


def test_a_worker_that_has_not_begun_to_serve_need_not_drain(service: Service) -> None:
    service.act()
    service.ready(service.started[0])
    service.act(signal.SIGTERM)
    serving, starting = service.started
    assert 26 < serving.deadline - time.monotonic() < 28
    assert 5 < starting.deadline - time.monotonic() < 7


@pytest.mark.skipif(not hasattr(signal, "SIGQUIT"), reason="Windows has no such signals")
def test_sigquit_ends_the_service_without_a_drain_and_others_have_no_effect(service: Service) -> None:
    first, second = service.begin()
    service.act(signal.SIGUSR1, signal.SIGUSR2)
    assert service.states == {100: "SERVING", 101: "SERVING"}
    service.act(signal.SIGQUIT)
    assert not service.listens
    assert first.orders == second.orders == [Order.HURRY]


def test_a_worker_that_retires_ends_with_the_service(service: Service) -> None:
    first, _ = service.begin()
    service.act(signal.SIGHUP)
    service.ready(service.started[2])
    service.act(signal.SIGTERM, signal.SIGTERM)
    assert first.orders == [Order.RETIRE, Order.DRAIN, Order.HURRY]


def test_workers_that_are_left_lose_their_channel(service: Service) -> None:
    first, _ = service.begin()
    service.supervisor.close()
    assert first.channel.fileno() == -1


@pytest.fixture
def handlers() -> Iterator[None]:
    """Restore the handlers of signals that a supervisor installs when it runs."""
    before = {signum: signal.getsignal(signum) for signum in supervisor._SIGNALS}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.usefixtures("handlers")
def test_a_worker_that_will_say_no_more_is_not_listened_to(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its channel can be read for ever: the supervisor would take all of a core while the process ends."""
    silent, other = service.begin()
    silent.is_silent = True
    waited: list[object] = []

    def wait_once(sources: list[object], _: float) -> None:
        waited.extend(sources)
        for worker in service.started:
            worker.end_with(0)
        service.supervisor._is_ending = True

    monkeypatch.setattr(supervisor, "wait", wait_once)
    assert service.supervisor.run() == 0
    assert waited[1:] == [silent.sentinel, other.sentinel, other.channel]


@pytest.mark.usefixtures("handlers")
def test_signals_are_acted_on_at_once(service: Service) -> None:
    """And the end of a worker: nothing of it is only found out when the time for a look has come."""

    def lead() -> None:
        deadline = time.monotonic() + PATIENCE
        while len(service.started) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        while service.listens and time.monotonic() < deadline:
            time.sleep(0.01)
        for worker in service.started:
            worker.end_with(0)

    leader = threading.Thread(target=lead)
    leader.start()
    try:
        assert service.supervisor.run() == 0
    finally:
        leader.join()
