# SPDX-License-Identifier: MIT
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ashapp.server.jobs.turns import Turns
from ashapp.server.supervisors.shared_counter import SharedCounter

OTHER = """
import sys
from ashapp.server.jobs.turns import Turns

turns = Turns(int(sys.argv[1]))
for line in sys.stdin:
    print(getattr(turns, line.split()[0])(line.split()[1]), flush=True)
"""


class Other:
    """Another process with the same descriptor."""

    def __init__(self, fd: int) -> None:
        command = [sys.executable, "-c", OTHER, str(fd)]
        self.process = subprocess.Popen(
            command, pass_fds=[fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, what: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def counter() -> SharedCounter:
    return SharedCounter()


@pytest.fixture
def other(counter: SharedCounter) -> Iterator[Other]:
    made = Other(counter.fd)
    yield made
    made.kill()


def test_one_process_at_a_time_has_its_turn_at_each_job(counter: SharedCounter, other: Other) -> None:
    turns = Turns(counter.fd)
    counter.value = 7
    assert turns.take("shop.tidy")
    assert [other.ask("take shop.tidy"), other.ask("take shop.mail")] == ["False", "True"]
    assert not turns.take("shop.mail")
    turns.leave("shop.tidy")
    assert other.ask("take shop.tidy") == "True"
    assert not turns.take("shop.tidy")
    other.kill()
    assert turns.take("shop.tidy")
    assert turns.take("shop.mail")
    assert counter.value == 7


def test_what_is_done_is_done_for_all(counter: SharedCounter, other: Other) -> None:
    turns = Turns(counter.fd)
    assert not turns.is_done("shop.tidy")
    other.ask("set_done shop.tidy")
    assert (turns.is_done("shop.tidy"), turns.is_done("shop.mail")) == (True, False)


def test_a_process_alone_has_all_turns() -> None:
    turns = Turns(None)
    assert turns.take("shop.tidy")
    turns.leave("shop.tidy")
    turns.set_done("shop.tidy")
    assert (turns.is_done("shop.tidy"), turns.is_done("shop.mail")) == (True, False)
