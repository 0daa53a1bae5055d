# SPDX-License-Identifier: MIT
"""The end of a service, in each mode and at each moment of its life: announced, without loss, in its time."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.client import Connection, fetch
from tests.support.process import ServerProcess, serving
from tests.support.waiting import PATIENCE, until

MODES = {"alone": [], "workers": ["--workers", "2"], "reload": ["--reload"]}

in_each_mode = pytest.mark.parametrize("mode", MODES)


@contextmanager
def service(folder: Path, mode: str, *flags: str) -> Iterator[ServerProcess]:
    with serving(["clock:app", *MODES[mode], *flags], cwd=folder) as server:
        until(lambda: fetch(server.address, "/readyz").status == 200)
        yield server


def is_refused(server: ServerProcess) -> bool:
    try:
        Connection(server.address).close()
    except ConnectionRefusedError:
        return True
    return False


_PATIENT = ["--timeout-graceful-shutdown", "30"]
_NEVER = ["--drain-delay", "600", "--timeout-graceful-shutdown", "600"]
_SOON = ["--timeout-graceful-shutdown", "1", "--timeout-lifespan-shutdown", "4"]

#: What comes, the settings, the request that is in flight, and the status of its response. An end by a
#: signal of "all" is sent to all processes of the service, as by Ctrl+C and by systemd.
STOPS = {
    "SIGTERM waits for what is in flight": (
        ["TERM"],
        ["--timeout-graceful-shutdown", "30"],
        "/wait/2.0",
        200,
    ),
    "so does SIGINT": (["INT"], _PATIENT, "/sleep/2.0", 200),
    "of all processes one signal counts": (["all"], _PATIENT, "/wait/2.0", 200),
    "what takes too long is cancelled": (["TERM"], _SOON, "/wait/600.0", 503),
    "a second signal hurries": (["TERM", "TERM"], _NEVER, "/wait/600.0", 503),
    "SIGQUIT hurries": (["QUIT"], _NEVER, "/wait/600.0", 503),
    "a hook that is stuck is given up": (["TERM"], _SOON, "/stuck", None),
}


@in_each_mode
@pytest.mark.parametrize("stop", STOPS)
def test_a_signal_ends_a_service_that_serves(folder: Path, mode: str, stop: str) -> None:
    signals, flags, path, status = STOPS[stop]
    with service(folder, mode, *flags) as server, ThreadPoolExecutor() as pool:
        slow = pool.submit(fetch, server.address, path)
        time.sleep(0.5)
        for number, name in enumerate(signals):
            if number:
                time.sleep(1)
                assert server.process.poll() is None
            if name == "all":
                os.killpg(server.pid, signal.SIGTERM)
            else:
                os.kill(server.pid, getattr(signal, f"SIG{name}"))
        assert server.process.wait(PATIENCE) == 0
        if status is None:
            assert slow.exception() or slow.result().status >= 500
        else:
            assert slow.result().status == status
        assert "Traceback" not in server.stderr or status is None
    assert list(folder.glob("*.left")), "the application was shut down in each case"


@pytest.mark.parametrize("mode", ["alone", "workers"])
def test_a_service_drains_before_it_ends(folder: Path, mode: str) -> None:
    with service(folder, mode, "--drain-delay", "6") as server, ThreadPoolExecutor() as pool:
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
        assert server.process.wait(PATIENCE) == 0
        assert "Traceback" not in server.stderr
    left = [int(path.stem) for path in folder.glob("*.left")]
    assert len(left) == (2 if mode == "workers" else 1)
    for pid in left:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


_HOOKS = {
    "async": "async def start():\n    begin()\n    await asyncio.sleep(600)",
    "on a thread": "def start():\n    begin()\n    time.sleep(600)",
    "that blocks the loop": "async def start():\n    begin()\n    time.sleep(600)",
}
# Seconds that a start may take on a busy machine.
_BUSY = 60.0

_START = """
    import asyncio, time
    from pathlib import Path
    from flask import Flask

    app = Flask(__name__)
    app.secret_key = "b61e0f3a97c24d58"
    begin = Path("begun").touch
    """


@in_each_mode
@pytest.mark.parametrize("hook", _HOOKS)
def test_a_signal_ends_a_service_that_starts(tmp_path: Path, mode: str, hook: str) -> None:
    (tmp_path / "shop.py").write_text(dedent(_START) + _HOOKS[hook] + "\napp.on_startup = start\n")
    args = ["shop:app", *MODES[mode], "--drain-delay", "600", "--timeout-lifespan-shutdown", "1"]
    with serving(args, cwd=tmp_path, listens=False) as server:
        until((tmp_path / "begun").exists, _BUSY)
        assert server.stop() == (4 if mode == "alone" and hook == "that blocks the loop" else 0)


@in_each_mode
def test_a_service_whose_shutdown_is_stuck_ends_in_its_time(folder: Path, mode: str) -> None:
    (folder / "stuck").touch()
    with service(folder, mode, *_SOON) as server:
        assert server.stop() == (4 if mode == "alone" else 0)
        if mode == "alone":  # a worker that writes for too long is killed
            assert "The process has not ended in the time that it has" in server.stderr
            assert "in leave_slowly" in server.stderr


_SLOW_IMPORT = """
    while not Path("go").exists():
        begin()
        time.sleep(0.01)
    app.add_url_rule("/", "index", lambda: "served")
    """


@in_each_mode
def test_signals_without_an_effect_do_not_end_a_service_that_imports(tmp_path: Path, mode: str) -> None:
    (tmp_path / "shop.py").write_text(dedent(_START) + dedent(_SLOW_IMPORT))
    with serving(["shop:app", *MODES[mode]], cwd=tmp_path, listens=False) as server:
        until((tmp_path / "begun").exists, _BUSY)
        for name in ("USR1", "USR2", "WINCH", "TTIN", "TTOU"):
            server.process.send_signal(getattr(signal, f"SIG{name}"))
        (tmp_path / "go").touch()
        server.wait_until_listening(_BUSY)
        assert fetch(server.address, "/").body == b"served"


_OF_NO_USE = {
    "HUP": "a process that serves alone can't be replaced; use --supervisor",
    "TTIN": "a process that serves alone has no workers; use --supervisor",
    "TTOU": "a process that serves alone has no workers; use --supervisor",
    "USR1": "the log goes to standard error, to no file that could be opened anew",
    "USR2": "a new version is started by whoever has started this one",
}


@in_each_mode
def test_no_signal_that_operators_of_other_servers_send_ends_a_service(folder: Path, mode: str) -> None:
    with service(folder, mode) as server:
        ids = {server.pid, int(fetch(server.address, "/").body.split()[0])}
        for name in ("USR1", "USR2", "WINCH", "TTIN", "TTOU", "HUP", "USR1"):
            for pid in ids:
                os.kill(pid, getattr(signal, f"SIG{name}"))
            assert fetch(server.address, "/").status == 200
        if mode == "alone":
            for name, why in _OF_NO_USE.items():
                server.wait_for_log(f"SIG{name} is ignored: {why}")
        assert server.stop() == 0
        # A worker that had not yet started is killed where its import takes long.
        assert not re.search("was ended by SIG(?!KILL)", server.stderr)


def test_a_process_that_serves_alone_ends_when_its_loop_is_stalled(folder: Path) -> None:
    with service(folder, "alone", "--stall-timeout", "1") as server, Connection(server.address) as connection:
        connection.send_request("GET", "/block/600.0")
        assert server.process.wait(PATIENCE) == 4
        assert "The event loop has not answered for 1 s: the process ends" in server.stderr
        assert "time.sleep(seconds)" in server.stderr


@pytest.mark.parametrize("mode", ["workers", "reload"])
def test_workers_do_not_outlive_their_supervisor(folder: Path, mode: str) -> None:
    with service(folder, mode) as server:
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: is_refused(server))
