# SPDX-License-Identifier: MIT
import re
import sys

import pytest

from tests.benchmarks.servers.apps import THREADS
from tests.benchmarks.servers.commands import BASELINE, IN_PROCESS, SERVERS, Server

_SERVERS = [server for server in SERVERS.values() if server.name != IN_PROCESS]


@pytest.mark.parametrize("server", _SERVERS, ids=lambda server: server.name)
def test_every_server_listens_on_the_port_of_the_loopback(server: Server) -> None:
    line = " ".join(server.command(4711)[1:])
    assert re.search(r"(127\.0\.0\.1(:| --port )|fast_wsgi )4711\b", line)
    assert "PORT" not in line


@pytest.mark.parametrize("server", _SERVERS, ids=lambda server: server.name)
def test_the_command_line_that_is_shown_is_the_one_that_runs_but_for_the_port(server: Server) -> None:
    shown = server.command_line().replace("PORT", "4711").replace("VENV", sys.prefix).split()
    assert shown[0] == (server.program or "python")
    assert shown[1:] == server.command(4711)[1:]


def test_servers_with_an_option_for_threads_all_get_the_same_number() -> None:
    # The adapters under uvicorn get theirs in `apps`; asgiref has one thread, whatever one says.
    for name in ("serve-bare", "granian", "granian-log", "gthread", "uwsgi", "waitress"):
        assert re.search(rf"threads[ =]{THREADS}\b", SERVERS[name].command_line())


def test_the_baseline_is_one_of_them() -> None:
    assert BASELINE in SERVERS


def test_packages_that_are_not_installed_are_named() -> None:
    server = Server("x", "x", ("x",), ("uvicorn", "a-package-that-nobody-has"))
    assert server.missing() == ["a-package-that-nobody-has"]
