# SPDX-License-Identifier: MIT
"""Workers that are replaced while clients are busy: what belongs to others is never lost."""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.client import Connection, fetch
from tests.support.network.load import GET, Load
from tests.support.process import ServerProcess, serving
from tests.support.waiting import until

ROLLS = 2


@contextmanager
def service(folder: Path, workers: int, *args: str) -> Iterator[ServerProcess]:
    with serving(["clock:app", "--workers", str(workers), *args], cwd=folder) as server:
        until(lambda: len(started(server)) >= workers)
        yield server


def started(server: ServerProcess) -> list[int]:
    """Return the ids of the processes whose startup is complete, in their order."""
    complete = len(re.findall("Application startup complete", server.stderr))
    return [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", server.stderr)][:complete]


def has_started(server: ServerProcess, workers: int) -> bool:
    return len(started(server)) >= workers


def ended(server: ServerProcess) -> int:
    return len(re.findall(r"Worker \d+ ended with exit code 0", server.stderr))


def has_ended(server: ServerProcess, workers: int) -> bool:
    return ended(server) >= workers


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_replaces_all_workers_without_a_failed_request(folder: Path, workers: int) -> None:
    with (
        service(folder, workers, "--supervisor") as server,
        Load(server.address, 4, pause=0.01) as busy,
        Load(server.address, 8, GET, pause=0.2) as pooled,
    ):
        for roll in range(ROLLS):
            os.kill(server.pid, signal.SIGHUP)
            for worker in range(workers):
                until(partial(has_ended, server, roll * workers + worker + 1))
        busy.goes_on()
        pooled.goes_on(20)
    assert busy.failures == []
    assert pooled.failures == []
    assert len({body.split()[0] for body in busy.bodies}) > ROLLS


def test_a_replacement_that_cannot_start_leaves_the_old_workers_serving(folder: Path) -> None:
    with service(folder, 2) as server, Load(server.address, 4, pause=0.01) as load:
        (folder / "clock.py").write_text("raise RuntimeError('a bad release')")
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_log(r"Worker \d+ could not start; worker \d+ goes on")
        load.goes_on()
        assert "a bad release" in server.stderr
        assert ended(server) == 0
    assert load.failures == []


#: Settings, what lets a worker be recycled, and what is told of it.
RECYCLED = {
    "requests": (
        ["--limit-max-requests", "300", "--limit-max-requests-jitter", "50"],
        None,
        "it has answered",
    ),
    "memory": (["--limit-max-memory", "200"], "/eat", "it holds"),
    "SIGTERM": (["--supervisor"], signal.SIGTERM, "it got SIGTERM"),
    "SIGQUIT": (["--supervisor"], signal.SIGQUIT, "it got SIGQUIT"),
}


@pytest.mark.parametrize("reason", RECYCLED)
def test_a_worker_is_recycled_without_a_failed_request(folder: Path, reason: str) -> None:
    flags, cause, told = RECYCLED[reason]
    with service(folder, 1, *flags) as server, Load(server.address, 4, pause=0.01) as load:
        if isinstance(cause, str):
            load.goes_on()
            assert ended(server) == 0
            assert fetch(server.address, cause).status == 200
        elif cause is not None:
            os.kill(started(server)[0], cause)
        until(lambda: ended(server) >= 1, 60)
        load.goes_on()
        assert f"is to be replaced: {told}" in server.stderr
    assert load.failures == []


def test_what_blocks_the_loop_of_one_worker_is_kept_off_those_of_the_others(folder: Path) -> None:
    limits = ["--limit-blocking", "0.2", "--loop-guard", "0.1"]
    with service(folder, 2, *limits) as server, ExitStack() as stack:
        first, _ = (stack.enter_context(connection) for connection in _to_both_workers(server))
        for _ in range(2):
            assert first.request("GET", "/block/0.8").body == b"blocked"
        server.wait_for_log(r"GET '/block/<float:seconds>' \(endpoint 'block'\) is moved to threads")
        server.wait_for_log("The view of endpoint 'block' is kept on threads")


def test_only_the_requests_of_a_worker_that_is_killed_fail(folder: Path) -> None:
    with service(folder, 2) as server, Load(server.address, 6, pause=0.01) as load:
        for victim in started(server):
            before = len(started(server))
            load.goes_on()
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            until(partial(has_started, server, before + 1))
            # The bar is 2 s, on a machine that has the time.
            assert time.monotonic() - killed < 10
        load.goes_on()
    # At most what was in flight there: one request of each connection.
    assert len(load.failures) <= 2 * 6
    assert not [failure for failure in load.failures if "Refused" in failure]


def test_a_worker_whose_loop_is_blocked_is_replaced_and_the_others_serve_on(folder: Path) -> None:
    with service(folder, 2, "--stall-timeout", "2") as server, ExitStack() as stack:
        blocked, other = (stack.enter_context(connection) for connection in _to_both_workers(server))
        blocked.send_request("GET", "/block/600.0")
        began = time.monotonic()
        while len(started(server)) < 3:
            assert other.request("GET", "/").status == 200
            time.sleep(0.01)
            # A stall of the default time is to be over within 6 s; here the machine may be slow.
            assert time.monotonic() - began < 12
        assert blocked.is_closed()
        assert "has not answered for 2 s; it is killed, and another is started" in server.stderr
        assert "The event loop does not answer" in server.stderr
        assert "time.sleep(seconds)" in server.stderr
        assert other.request("GET", "/").status == 200


@pytest.mark.parametrize("supervised", [True, False])
def test_a_sync_view_that_holds_the_interpreters_lock_ends_no_process(
    folder: Path, *, supervised: bool
) -> None:
    """No thread runs meanwhile, the loop's neither: that may be logged, but the loop is not stalled."""
    flags = ["--supervisor"] if supervised else []
    with serving(["clock:app", "--stall-timeout", "1", *flags], cwd=folder) as server:
        pids = {fetch(server.address, "/hold/3").body for _ in range(2)}
        assert len(pids) == 1
        assert fetch(server.address, "/hold/0").body in pids
        assert "it is killed" not in server.stderr
        assert "the process ends" not in server.stderr


def _to_both_workers(server: ServerProcess) -> list[Connection]:
    connections: dict[bytes, Connection] = {}

    def connect() -> bool:
        connection = Connection(server.address, timeout=30)
        worker = connection.request("GET", "/").body.split()[0]
        if connections.setdefault(worker, connection) is not connection:
            connection.close()
        return len(connections) == 2

    until(connect)
    return list(connections.values())
