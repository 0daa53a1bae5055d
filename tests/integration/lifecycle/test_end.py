# SPDX-License-Identifier: MIT
"""The end of a service, in one process and in several: announced, without loss, within its time."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.client import Connection, fetch
from tests.support.process import ServerProcess, run, serving
from tests.support.waiting import until

WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


def is_refused(server: ServerProcess) -> bool:
    try:
        Connection(server.address).close()
    except ConnectionRefusedError:
        return True
    return False


@WORKERS
def test_a_service_drains_before_it_ends(folder: Path, workers: str) -> None:
    args = ["clock:app", "--workers", workers, "--drain-delay", "6"]
    with serving(args, cwd=folder) as server, ThreadPoolExecutor() as pool:
        until(lambda: fetch(server.address, "/readyz").status == 200)
        slow = [pool.submit(fetch, server.address, f"/{way}/7.0") for way in ("wait", "sleep")]
        time.sleep(0.5)
        os.kill(server.pid, signal.SIGTERM)
        server.wait_for_log("Not ready any more")
        until(lambda: fetch(server.address, "/readyz").status == 503)
        assert fetch(server.address, "/readyz").body == b'{"status":"unavailable","reason":"draining"}'
        assert fetch(server.address, "/livez").status == 200
        assert fetch(server.address, "/").head.one("connection") == "close"
        until(lambda: is_refused(server))
        assert [future.result().body for future in slow] == [b"waited", b"slept"]
        assert server.process.wait(15) == 0
        assert "Traceback" not in server.stderr
    assert len(list(folder.glob("*.left"))) == int(workers)


@WORKERS
def test_a_second_signal_hurries(folder: Path, workers: str) -> None:
    args = ["clock:app", "--workers", workers, "--drain-delay", "600", "--timeout-graceful-shutdown", "600"]
    with serving(args, cwd=folder) as server, ThreadPoolExecutor() as pool:
        until(lambda: fetch(server.address, "/readyz").status == 200)
        slow = pool.submit(fetch, server.address, "/wait/600.0")
        time.sleep(0.5)
        os.kill(server.pid, signal.SIGTERM)
        server.wait_for_log("Not ready any more")
        os.kill(server.pid, signal.SIGTERM)
        assert server.process.wait(15) == 0
        assert slow.result().status == 503
        assert slow.result().head.one("content-type") == "application/problem+json"
        assert "Traceback" not in server.stderr
    assert list(folder.glob("*.left")), "it was shut down all the same"


def test_a_hook_that_is_stuck_leaves_time_to_shut_down(folder: Path) -> None:
    args = ["clock:app", "--timeout-graceful-shutdown", "1", "--timeout-lifespan-shutdown", "4"]
    with serving(args, cwd=folder) as server, ThreadPoolExecutor() as pool:
        until(lambda: fetch(server.address, "/readyz").status == 200)
        stuck = pool.submit(fetch, server.address, "/stuck")
        time.sleep(0.5)
        os.kill(server.pid, signal.SIGTERM)
        assert server.process.wait(15) == 0
        assert stuck.exception() or stuck.result().status >= 500
        assert "given up" in server.stderr
    assert list(folder.glob("*.left"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_reaches_all_processes_counts_once(folder: Path, signum: int) -> None:
    """As Ctrl+C does, and systemd; a worker must not take it for a second one, and hurry."""
    with serving(["clock:app", "--workers", "2"], cwd=folder) as server, ThreadPoolExecutor() as pool:
        until(lambda: fetch(server.address, "/readyz").status == 200)
        slow = pool.submit(fetch, server.address, "/wait/2.0")
        time.sleep(0.5)
        os.killpg(server.pid, signum)
        assert slow.result().body == b"waited"
        assert server.process.wait(15) == 0
        assert "Traceback" not in server.stderr


def test_a_budget_that_does_not_fit_refuses_the_start(folder: Path) -> None:
    result = run(["clock:app", "--termination-grace-period", "10"], cwd=folder)
    assert result.returncode == 2
    assert (
        "drain_delay 0 + timeout_graceful_shutdown 15 + timeout_lifespan_shutdown 5 = 20 s" in result.stderr
    )


def test_a_process_that_serves_alone_ends_when_its_loop_is_stalled(folder: Path) -> None:
    with serving(["clock:app", "--stall-timeout", "1"], cwd=folder) as server:
        with Connection(server.address) as connection:
            connection.send_request("GET", "/block/600.0")
            assert server.process.wait(15) == 4
        assert "The event loop has not answered for 1 s: the process ends" in server.stderr
        assert "time.sleep(seconds)" in server.stderr


@pytest.fixture
def _not_below_nohup() -> Iterator[None]:
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, inherited)


@pytest.mark.usefixtures("_not_below_nohup")
def test_sighup_does_not_end_a_process_that_serves_alone(folder: Path) -> None:
    with serving(["clock:app"], cwd=folder) as server:
        until(lambda: fetch(server.address, "/readyz").status == 200)
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_log("SIGHUP is ignored")
        assert fetch(server.address, "/").status == 200
        assert server.stop() == 0


def test_workers_do_not_outlive_their_supervisor(folder: Path) -> None:
    with serving(["clock:app", "--workers", "2"], cwd=folder) as server:
        until(lambda: fetch(server.address, "/readyz").status == 200)
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: is_refused(server))


@WORKERS
def test_a_service_does_not_take_the_socket_of_its_successor_away(folder: Path, workers: str) -> None:
    path = folder / "socket"
    args = ["clock:app", "--uds", str(path), "--workers", workers]
    with serving(args, cwd=folder) as old:
        path.unlink()
        with serving(args, cwd=folder):
            assert old.stop() == 0
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
        assert not path.exists()
