# SPDX-License-Identifier: MIT
import os
import subprocess
import sys

import pytest

from tests.benchmarks.servers.apps import WORKLOADS
from tests.benchmarks.servers.commands import SERVERS, Server
from tests.benchmarks.servers.processes import (
    ServerError,
    answer,
    cores,
    running,
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
