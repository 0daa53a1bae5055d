# SPDX-License-Identifier: MIT
"""Signals, as operators of other servers send them, to the service and to what its application starts."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.client import fetch
from tests.support.process import ServerProcess, serving
from tests.support.waiting import PATIENCE, until

if sys.platform == "win32":
    pytest.skip("Windows has no such signals", allow_module_level=True)

# Prints the dispositions that a process has.
_SHOW = """
import signal

for number in sorted(signal.valid_signals()):
    print(number, signal.getsignal(number))
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""

_APP = """
    import asyncio
    import contextlib
    import io
    import multiprocessing
    import os
    import signal
    import subprocess
    import sys
    from pathlib import Path

    from flask import Flask

    app = Flask(__name__)
    app.secret_key = "b61e0f3a97c24d58"

    @app.get("/")
    def index():
        return str(os.getpid())

    @app.get("/wait")
    async def wait():
        Path("waiting").touch()
        await asyncio.sleep(2)
        return "waited"

    @app.get("/program")
    def program():
        return subprocess.check_output([sys.executable, "-c", SHOW], text=True)

    def report(channel):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(SHOW)
        channel.send(said.getvalue())

    fork = multiprocessing.get_context("fork")

    @app.get("/forked")
    def forked():
        ours, theirs = fork.Pipe()
        process = fork.Process(target=report, args=(theirs,))
        process.start()
        return ours.recv()

    @app.get("/terminated")
    def terminated():
        process = fork.Process(target=signal.pause)
        process.start()
        process.terminate()
        process.join()
        return str(process.exitcode)

    @app.get("/pool")
    def pool():
        with fork.Pool(2) as processes:
            return str(processes.map(abs, [-1, 2]))
    """

_HANDLER = """
    def note(signum, frame):
        with Path("noted").open("a") as file:
            file.write(f"{os.getpid()} {signum}\\n")
    """

_MODES = pytest.mark.parametrize("workers", ["1", "2"])


@pytest.fixture(autouse=True)
def _not_below_nohup() -> Iterator[None]:
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, inherited)


@contextmanager
def service(folder: Path, workers: str, *parts: str, args: tuple[str, ...] = ()) -> Iterator[ServerProcess]:
    (folder / "shop.py").write_text("\n".join(map(dedent, (_APP, f"SHOW = {_SHOW!r}", *parts))))
    with serving(["shop:app", "--workers", workers, *args], cwd=folder) as server:
        # A worker accepts connections only when it has started.
        until(lambda: len(processes(server)) == int(workers))
        yield server


def processes(server: ServerProcess) -> set[int]:
    return {int(fetch(server.address, "/").body) for _ in range(8)}


@_MODES
def test_no_signal_that_operators_of_other_servers_send_ends_a_service(tmp_path: Path, workers: str) -> None:
    with service(tmp_path, workers) as server:
        ids = {server.pid, int(fetch(server.address, "/").body)}
        for name in ("USR1", "USR2", "WINCH", "TTIN", "TTOU", "HUP", "USR1"):
            for pid in ids:
                os.kill(pid, getattr(signal, f"SIG{name}"))
            assert fetch(server.address, "/").status == 200
        if workers == "1":
            server.wait_for_log("SIGHUP is ignored: a process that serves alone can't be replaced")
            server.wait_for_log("SIGUSR1 is ignored: there is no log file to open anew")
        assert server.stop() == 0
        # A worker that had not yet started is killed where its import takes long.
        assert not re.search("was ended by SIG(?!KILL)", server.stderr)


@_MODES
def test_programs_and_forked_children_of_an_application_get_the_defaults(
    tmp_path: Path, workers: str
) -> None:
    with service(tmp_path, workers) as server:
        usual = subprocess.check_output([sys.executable, "-c", _SHOW], text=True, start_new_session=True)
        assert fetch(server.address, "/program").body.decode() == usual
        assert fetch(server.address, "/forked").body.decode() == usual
        assert fetch(server.address, "/terminated").body == str(-signal.SIGTERM).encode()
        assert fetch(server.address, "/pool").body == b"[1, 2]"


_INSTALLED = {
    "by the module": "signal.signal(signal.SIGTERM, note)",
    "by the module, to leave": """
        def leave(signum, frame):
            note(signum, frame)
            sys.exit(1)

        signal.signal(signal.SIGTERM, leave)
        """,
    "by a startup hook": """
        async def start():
            signal.signal(signal.SIGTERM, note)

        app.on_startup = start
        """,
    "by a startup hook, on the loop": """
        async def start():
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, note, signal.SIGTERM, None)

        app.on_startup = start
        """,
    "by a startup hook, before ours": """
        async def start():
            found = signal.getsignal(signal.SIGTERM)

            def note_and_pass_on(signum, frame):
                note(signum, frame)
                found(signum, frame)

            signal.signal(signal.SIGTERM, note_and_pass_on)

        app.on_startup = start
        """,
}


@pytest.mark.parametrize(
    ("installed", "workers", "loop"),
    [
        *((installed, "1", "auto") for installed in _INSTALLED),
        ("by a startup hook, on the loop", "1", "asyncio"),
        ("by the module, to leave", "2", "auto"),
        ("by a startup hook, on the loop", "2", "auto"),
    ],
)
def test_a_handler_of_the_application_is_called_once_and_the_service_ends_in_order(
    tmp_path: Path, workers: str, installed: str, loop: str
) -> None:
    with (
        service(tmp_path, workers, _HANDLER, _INSTALLED[installed], args=("--loop", loop)) as server,
        ThreadPoolExecutor() as pool,
    ):
        slow = pool.submit(fetch, server.address, "/wait")
        until((tmp_path / "waiting").exists)
        os.kill(server.pid, signal.SIGTERM)
        assert slow.result().body == b"waited"
        assert server.process.wait(PATIENCE) == 0
        assert "Traceback" not in server.stderr
    noted = (tmp_path / "noted").read_text().splitlines()
    assert len(noted) == len(set(noted)) == int(workers)


_HOOKS = {
    "async": "async def start():\n    begin()\n    await asyncio.sleep(600)",
    "on a thread": "def start():\n    begin()\n    time.sleep(600)",
    "that blocks the loop": "async def start():\n    begin()\n    time.sleep(600)",
}


@pytest.mark.parametrize("hook", _HOOKS)
@_MODES
def test_a_service_ends_though_a_long_startup_hook_goes_on(tmp_path: Path, workers: str, hook: str) -> None:
    source = """
        import asyncio, time
        from pathlib import Path
        from flask import Flask

        app = Flask(__name__)
        app.secret_key = "b61e0f3a97c24d58"
        begin = Path("begun").touch
        """
    (tmp_path / "shop.py").write_text(dedent(source) + _HOOKS[hook] + "\napp.on_startup = start\n")
    args = ["shop:app", "--workers", workers, "--drain-delay", "600", "--timeout-lifespan-shutdown", "1"]
    with serving(args, cwd=tmp_path, listens=False) as server:
        until((tmp_path / "begun").exists)
        assert server.stop() == (4 if workers == "1" and hook == "that blocks the loop" else 0)


def test_signals_that_come_while_the_application_is_imported_do_not_end_the_start(tmp_path: Path) -> None:
    slow = """
        import time
        Path("begun").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        """
    (tmp_path / "shop.py").write_text(dedent(_APP) + dedent(slow))
    with serving(["shop:app"], cwd=tmp_path, listens=False) as server:
        until((tmp_path / "begun").exists)
        for name in ("HUP", "USR1", "USR2", "WINCH", "TTIN", "TTOU"):
            server.process.send_signal(getattr(signal, f"SIG{name}"))
        (tmp_path / "go").touch()
        server.wait_until_listening(20)
        assert fetch(server.address, "/").status == 200


@_MODES
def test_sigquit_ends_a_service_at_once(tmp_path: Path, workers: str) -> None:
    with (
        service(tmp_path, workers, args=("--drain-delay", "600")) as server,
        ThreadPoolExecutor() as pool,
    ):
        slow = pool.submit(fetch, server.address, "/wait")
        until((tmp_path / "waiting").exists)
        assert server.stop(signal.SIGQUIT) == 0
        assert slow.result().status == 503
