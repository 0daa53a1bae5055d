# SPDX-License-Identifier: MIT
"""The first process of a container; here one that inherits orphans too (prctl(2), PR_SET_CHILD_SUBREAPER)."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.support.waiting import PATIENCE, until

_START = """
    import ctypes, os, signal, subprocess, sys, time
    from pathlib import Path
    from ashapp.server.operating_system.init_process import below_init, heed_sigterm

    heed_sigterm()
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    code = below_init()
    if code is not None:
        sys.exit(code)
"""


# Counts some signals.
COUNT = """
seen = []
for signum in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN, signal.SIGINT):
    signal.signal(signum, lambda signum, frame: seen.append(signum))
Path("begun").touch()
while True:
    time.sleep(0.01)
    Path("seen").write_text("|" * len(seen))
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process inherit orphans")


@contextmanager
def running(tmp_path: Path, child: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run *child* below an init process until the block ends; it has begun when it has touched ``begun``."""
    script = tmp_path / "script.py"
    script.write_text(f"{dedent(_START)}\n{dedent(child)}")
    command = [*options.pop("command", []), sys.executable, str(script)]
    with subprocess.Popen(command, cwd=tmp_path, text=True, **options) as process:
        try:
            until(lambda: (tmp_path / "begun").exists() or process.poll() is not None)
            yield process
        finally:
            process.kill()


def children(pid: int) -> list[str]:
    """Return the states of the children of a process."""
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[1] == str(pid):
            states.append(fields[0])
    return states


@on_linux
def test_orphans_do_not_stay_as_zombies(tmp_path: Path) -> None:
    child = """
        # What a child leaves behind goes to the init process when that child ends.
        for _ in range(3):
            subprocess.run(["sh", "-c", "sleep 0.5 &"])
        Path("begun").touch()
        time.sleep(60)
        """
    with running(tmp_path, child) as process:
        until(lambda: children(process.pid) == ["S"])
        process.terminate()
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


@on_linux
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_child_that_starts_wherever_it_is(tmp_path: Path, signum: int) -> None:
    # An exception that a signal handler raises in such a callback, as imports have them, is lost.
    child = """
        import weakref

        class Module: ...

        def forget(_):
            Path("begun").touch()
            for _ in range(1000):
                time.sleep(0.01)

        module = Module()
        reference = weakref.ref(module, forget)
        del module
        time.sleep(60)
    """
    with running(tmp_path, child) as process:
        process.send_signal(signum)
        assert process.wait(PATIENCE) == 128 + signum


@on_linux
def test_signals_are_passed_on_and_the_exit_code_is_the_childs(tmp_path: Path) -> None:
    child = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7 if len(seen) == 3 else 1))"
    with running(tmp_path, child + COUNT) as process:
        for number, signum in enumerate((signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN), 1):
            process.send_signal(signum)
            until(partial(has_seen, tmp_path, number))
        process.terminate()
        assert process.wait(PATIENCE) == 7


@on_linux
@pytest.mark.parametrize(
    ("child", "told"),
    [
        ("subprocess.run(['sh', '-c', 'exit 5']).returncode", "5"),
        ("signal.getsignal(signal.SIGTERM).name", "SIG_DFL"),
    ],
)
def test_in_the_child_all_is_as_usual(tmp_path: Path, child: str, told: str) -> None:
    program = f"print({child}); Path('begun').touch()"
    with running(tmp_path, program, stdout=subprocess.PIPE) as process:
        assert process.communicate(timeout=PATIENCE)[0] == f"{told}\n"
        assert process.returncode == 0


@on_linux
def test_a_signal_of_the_terminal_reaches_the_child_once(tmp_path: Path) -> None:
    # As a shell would start it: the leader of a session whose terminal this is.
    session = (
        "import os, sys; os.setsid(); os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"
    )
    controller, terminal = os.openpty()
    try:
        with running(tmp_path, COUNT, stdin=terminal, command=[sys.executable, "-c", session]) as process:
            os.write(controller, b"\x03")
            until(partial(has_seen, tmp_path, 1))
            process.send_signal(signal.SIGINT)
            until(partial(has_seen, tmp_path, 2))
            process.terminate()
            assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    finally:
        os.close(controller)
        os.close(terminal)


# The import is slow. A signal that comes just before a sleep is handled only after it, so it sleeps often.
SLOW = "import pathlib, time\npathlib.Path('begun').touch()\nfor _ in range(6000): time.sleep(0.01)"
START = "import os, ashapp.__main__; os.getpid = lambda: {}; ashapp.__main__.main()"


def test_process_1_can_be_ended_while_the_command_is_still_imported(tmp_path: Path) -> None:
    """The kernel gives it no default action, so it has one of its own, which tells by its exit code."""
    (tmp_path / "click.py").write_text(SLOW)
    with subprocess.Popen([sys.executable, "-c", START.format(1)], cwd=tmp_path) as process:
        try:
            until((tmp_path / "begun").exists)
            process.terminate()
            assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        finally:
            process.kill()


@pytest.mark.parametrize("pid", [1, 7])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_what_comes_while_the_interpreter_starts_counts(tmp_path: Path, pid: int, signum: int) -> None:
    """The image's entry point blocks signals before it starts the interpreter, as is done here."""
    (tmp_path / "click.py").write_text(SLOW)
    command = [sys.executable, "-c", START.format(pid)]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signum})
    try:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    with process:
        process.send_signal(signum)
        try:
            assert process.communicate(timeout=PATIENCE)[1] == ""
            assert process.returncode == (128 + signum if pid == 1 else -signum)
        finally:
            process.kill()


def has_seen(folder: Path, number: int) -> bool:
    """Whether the child has seen so many signals; it may be just about to write that."""
    path = folder / "seen"
    return path.exists() and len(path.read_text()) == number
