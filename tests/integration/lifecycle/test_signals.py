# SPDX-License-Identifier: MIT
"""Signals, as operators of other servers send them, to the service and to what its application starts."""

import os
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
    "by the module, to leave": """
        def leave(signum, frame):
            note(signum, frame)
            sys.exit(1)

        signal.signal(signal.SIGTERM, leave)
        """,
    "by the module, to fail": """
        def fail(signum, frame):
            note(signum, frame)
            raise OSError("full")

        signal.signal(signal.SIGTERM, fail)
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
        is_told = "A signal handler of the application failed" in server.stderr
        assert is_told == ("to fail" in installed)
        assert "Traceback" not in server.stderr
    noted = (tmp_path / "noted").read_text().splitlines()
    assert len(noted) == len(set(noted)) == int(workers)
