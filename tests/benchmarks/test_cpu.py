# SPDX-License-Identifier: MIT
import os
import subprocess
import sys
from functools import partial

import pytest

from tests.benchmarks.cpu import ProcessTime, cores, parse_stat, pinned, tree, tree_seconds

popen = partial(subprocess.Popen, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize("command", ["python", "a (b) c", ") R 1 2 3"])
def test_parse_stat_whatever_the_command_is_called(command: str) -> None:
    text = f"42 ({command}) S 7 42 42 0 -1 4194304 100 200 0 0 11 22 33 44 20 0 17 0 12345 1 2\n"
    assert parse_stat(text) == ProcessTime(parent=7, ticks=11 + 22 + 33 + 44)


def test_a_tree_has_the_descendants_and_no_others() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 20: 1, 21: 20}
    processes = {pid: ProcessTime(parent, ticks=1) for pid, parent in parents.items()}
    assert tree(10, processes) == {10, 11, 12}
    assert tree(12, processes) == {12}
    assert tree(99, processes) == set()


def test_the_time_of_a_child_counts_while_it_runs_and_after_it_has_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    before = tree_seconds(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        running = tree_seconds(os.getpid()) - before
        child.communicate(b"\n")
    # A tick of 1/100 s may be missing from each of a few numbers.
    assert running >= 0.25
    assert tree_seconds(os.getpid()) - before >= 0.25


def test_the_time_of_threads_counts() -> None:
    burn = (
        "import threading, time\n"
        "def burn():\n"
        "    while time.thread_time() < 0.15: pass\n"
        "threads = [threading.Thread(target=burn) for _ in range(2)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert tree_seconds(child.pid) >= 0.25
        child.communicate(b"\n")


def test_a_process_is_started_on_its_core_and_this_one_gets_its_own_back() -> None:
    before = os.sched_getaffinity(0)
    server, load = cores()
    assert {server, load} <= before
    assert (server != load) == (len(before) > 1)
    show = "import os; print(sorted(os.sched_getaffinity(0)))"
    with pinned(load):
        shown = subprocess.run(
            [sys.executable, "-c", show], capture_output=True, text=True, check=True
        ).stdout
    assert shown.strip() == str([load])
    assert os.sched_getaffinity(0) == before
