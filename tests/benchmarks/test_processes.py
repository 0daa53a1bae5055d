# SPDX-License-Identifier: MIT
import os

import pytest

from tests.benchmarks.cpu import cores
from tests.benchmarks.processes import ServerError, answer, running
from tests.benchmarks.servers import SERVERS, Server
from tests.benchmarks.workloads import WORKLOADS

HELLO = WORKLOADS["hello"]


def test_a_server_answers_on_its_core_until_the_block_ends() -> None:
    core = cores()[0]
    with running(SERVERS["ashapp"], HELLO, core) as server:
        assert answer(server.port, WORKLOADS["post"]) == 200
        assert os.sched_getaffinity(server.pid) == {core}
    with pytest.raises(OSError, match="refused"):
        answer(server.port, HELLO)


def test_a_server_that_ends_is_told_with_its_output() -> None:
    broken = Server("broken", "broken", ("uvicorn", "no_such_module:app", "--port", "PORT"), ())
    with (
        pytest.raises(ServerError, match=r"(?s)broken ended with exit code \d: .*no_such_module"),
        running(broken, HELLO, cores()[0]),
    ):
        pass


def test_a_server_that_does_not_answer_as_it_should_is_told() -> None:
    elsewhere = Server("api", "api", ("ashapp", "serve", "--host", "127.0.0.1", "--port", "PORT"), ())
    with (
        pytest.raises(ServerError, match="api answers /hello with 404"),
        running(elsewhere, HELLO, cores()[0]),
    ):
        pass


def test_a_server_that_never_answers_is_given_up() -> None:
    elsewhere = Server("elsewhere", "elsewhere", ("http.server", "--bind", "127.0.0.2", "PORT"), ())
    with (
        pytest.raises(ServerError, match="elsewhere did not answer within 1 s"),
        running(elsewhere, HELLO, cores()[0], timeout=1),
    ):
        pass
