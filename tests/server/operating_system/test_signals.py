# SPDX-License-Identifier: MIT
"""Each case is a process of its own: what it does to signals would stay with this one."""

import signal
import subprocess
import sys
from textwrap import dedent

import pytest

from tests.support.waiting import PATIENCE

_START = """
    import asyncio, os, signal
    from ashapp.server.operating_system.signals import failures, handle, keep, noted, outlive

    seen = []

    def ours(signum, frame):
        seen.append("ours")

    def theirs(signum, frame):
        seen.append("theirs")

    def here(signum):
        signal.raise_signal(signum)
        return seen
    """


def outcome(case: str, *command: str) -> str:
    """Return what *case* prints, in a process that *command* starts."""
    script = [*command, sys.executable, "-c", dedent(_START) + dedent(case)]
    result = subprocess.run(
        script, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU"])
def test_what_is_outlived_is_noted_once(name: str) -> None:
    case = f"outlive(); here(signal.{name}); print(*noted(), *noted())"
    assert outcome(case) == str(getattr(signal, name).value)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTTIN"])
def test_what_comes_while_the_interpreter_ends_is_outlived(name: str) -> None:
    case = f"""
        outlive()

        class Last:
            def __del__(self, kill=os.kill, pid=os.getpid(), signum=signal.{name}):
                kill(pid, signum)

        last = Last()
        print("ended")
    """
    assert outcome(case) == "ended"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("signal.signal(signal.SIGUSR1, theirs); outlive()", "['theirs']"),
        ("outlive(); signal.signal(signal.SIGUSR1, theirs); keep()", "['theirs']"),
        ("signal.signal(signal.SIGUSR1, signal.SIG_IGN); outlive()", "[]"),
    ],
)
def test_what_has_a_disposition_keeps_it(before: str, after: str) -> None:
    assert outcome(f"{before}; print(here(signal.SIGUSR1), noted())") == f"{after} []"


@pytest.mark.parametrize(
    ("steps", "calls"),
    [
        ("handle(signal.SIGTERM, ours)", ["ours"]),
        ("signal.signal(signal.SIGTERM, theirs); handle(signal.SIGTERM, ours)", ["ours", "theirs"]),
        ("handle(signal.SIGTERM, ours); signal.signal(signal.SIGTERM, theirs)", ["theirs"]),
        ("handle(signal.SIGTERM, ours); signal.signal(signal.SIGTERM, theirs); keep()", ["ours", "theirs"]),
        ("handle(signal.SIGTERM, ours); signal.signal(signal.SIGTERM, signal.SIG_IGN); keep()", ["ours"]),
        ("handle(signal.SIGTERM, print); handle(signal.SIGTERM, ours); keep(); keep()", ["ours"]),
    ],
)
def test_a_handler_of_the_application_is_called_after_ours(steps: str, calls: list[str]) -> None:
    assert outcome(f"{steps}; print(here(signal.SIGTERM))") == str(calls)


def test_a_handler_of_the_application_that_calls_ours_is_no_second_signal() -> None:
    case = """
        handle(signal.SIGTERM, ours)
        found = signal.getsignal(signal.SIGTERM)

        def both(signum, frame):
            theirs(signum, frame)
            found(signum, frame)

        signal.signal(signal.SIGTERM, both)
        keep()
        print(here(signal.SIGTERM))
        """
    assert outcome(case) == "['ours', 'theirs']"


def test_a_second_signal_during_a_handler_of_the_application_counts() -> None:
    case = """
        def slow(signum, frame):
            theirs(signum, frame)
            if seen.count("ours") < 3:
                here(signum)

        signal.signal(signal.SIGTERM, slow)
        handle(signal.SIGTERM, ours)
        print(here(signal.SIGTERM))
        """
    assert outcome(case) == "['ours', 'theirs', 'ours']"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("raise SystemExit(1)", []),
        ("raise KeyboardInterrupt", []),
        ("raise OSError('full')", ["OSError('full')"]),
    ],
)
def test_a_handler_of_the_application_can_not_end_what_goes_on(statement: str, told: list[str]) -> None:
    case = f"""
        def fail(signum, frame):
            {statement}

        signal.signal(signal.SIGTERM, fail)
        handle(signal.SIGTERM, ours)
        print(here(signal.SIGTERM), [repr(error) for error in failures()], failures())
        """
    assert outcome(case) == f"['ours'] {told} []"


def test_what_asyncio_installs_for_the_keyboard_is_not_of_the_application() -> None:
    case = """
        async def main():
            handle(signal.SIGINT, ours)
            here(signal.SIGINT)
            await asyncio.sleep(0.01)
            print(seen)

        asyncio.run(main())
        """
    assert outcome(case) == "['ours']"


@pytest.mark.parametrize(
    ("installed", "in_child"),
    [
        ("pass", "SIG_DFL"),
        ("signal.signal(signal.SIGTERM, theirs)", "theirs"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "SIG_IGN"),
    ],
)
def test_a_forked_child_gets_back_what_there_was(installed: str, in_child: str) -> None:
    case = f"""
        {installed}
        handle(signal.SIGTERM, ours)
        handle(signal.SIGINT, ours)
        outlive()
        if os.fork() == 0:
            for name in ("SIGTERM", "SIGINT", "SIGUSR1"):
                found = signal.getsignal(getattr(signal, name))
                name = found.__name__ if callable(found) else found.name
                print(name, signal.pthread_sigmask(signal.SIG_BLOCK, []))
            print(signal.set_wakeup_fd(-1), flush=True)
            os._exit(0)
        os.wait()
        assert here(signal.SIGTERM)[0] == "ours"
        """
    expected = [f"{name} set()" for name in (in_child, "default_int_handler", "SIG_DFL")]
    assert outcome(case).splitlines() == [*expected, "-1"]


def test_nohup_stays_in_force() -> None:
    ignored = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    assert outcome("outlive(); here(signal.SIGHUP); print(noted())", *ignored) == "[]"
