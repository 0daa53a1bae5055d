# SPDX-License-Identifier: MIT
import os
import subprocess
import sys

import pytest

from tests.benchmarks.servers.apps import WORKLOADS
from tests.benchmarks.servers.commands import SERVERS, Server
from tests.benchmarks.servers.processes import (
    ProcessTime,
    ServerError,
    answer,
    cores,
    parse_stat,
    pinned,
    running,
    tree,
    tree_seconds,
)

HELLO = WORKLOADS["hello"]


def test_a_server_answers_on_its_core_until_the_block_ends() -> None:
    core = cores()[0]
    with running(SERVERS["ashapp"], HELLO, core) as server:
        assert answer(server.port, WORKLOADS["post"]) == 200
        assert os.sched_getaffinity(server.pid) == {core}
    with pytest.raises(OSError, match="refused"):
        answer(server.port, HELLO)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("uvicorn", "no_such_module:app", "--port", "PORT"), r"ended with exit code \d: .*no_such_module"),
        (("ashapp", "serve", "--host", "127.0.0.1", "--port", "PORT"), "answers /hello with 404"),
        (("http.server", "--bind", "127.0.0.2", "PORT"), r"did not answer within \d s"),
    ],
)
def test_a_server_that_does_not_answer_as_it_should_is_told_of(arguments: tuple[str, ...], told: str) -> None:
    server = Server("other", "other", arguments, ())
    timeout = 1 if "127.0.0.2" in arguments else 20
    with (
        pytest.raises(ServerError, match=f"(?s)other {told}"),
        running(server, HELLO, cores()[0], timeout=timeout),
    ):
        pass


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


CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
BURN = "import time\nwhile time.process_time() < 0.3: pass"
THREADS = """
import threading, time
def burn():
    while time.thread_time() < 0.15: pass
threads = [threading.Thread(target=burn) for _ in range(2)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
"""


@pytest.mark.parametrize("work", [BURN, CHILD.format(burn=BURN), THREADS], ids=["own", "child", "threads"])
def test_the_time_of_children_and_threads_counts(work: str) -> None:
    command = [sys.executable, "-c", f"{work}\nprint(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
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
