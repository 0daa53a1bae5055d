# SPDX-License-Identifier: MIT
"""``python -m tests.benchmarks``: server CPU time per request, ours beside others."""

import os
import signal
import sys
from contextlib import ExitStack
from typing import Any

import click

from tests.benchmarks import load, resources
from tests.benchmarks.profile import profiler
from tests.benchmarks.report import facts, markdown, summarize, table
from tests.benchmarks.rounds import Plan, measure
from tests.benchmarks.servers.apps import WORKLOADS
from tests.benchmarks.servers.commands import BASELINE, IN_PROCESS, SERVERS, Server
from tests.benchmarks.servers.processes import RunningServer, ServerError, cores, pinned, running

__all__ = ["main"]


@click.command(
    epilog="Numbers of different runs, or of different machines, are not to be compared: ratios are."
)
@click.option("--workload", type=click.Choice(list(WORKLOADS)), default="hello", show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option(
    "--seconds",
    type=click.IntRange(1, 60),
    default=3,
    show_default=True,
    help="Of each server in each round.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 1000),
    default=32,
    show_default=True,
    help="Keep-alive connections.",
)
@click.option("--baseline", type=click.Choice(list(SERVERS)), default=BASELINE, show_default=True)
@click.option(
    "--only",
    type=click.Choice(list(SERVERS)),
    multiple=True,
    help="Leave the other servers out; may be repeated.",
)
@click.option(
    "--profile", "stages", is_flag=True, help="Tell where `serve` spends the time of a request instead."
)
@click.option(
    "--resources",
    "container",
    is_flag=True,
    help="Measure what a container of the service needs instead; needs no wrk.",
)
def main(*, container: bool, stages: bool, only: tuple[str, ...], **options: Any) -> None:
    """Measure servers of one Flask application side by side: CPU time per request, requests per second."""
    try:
        if container:
            click.echo(_resources())
        elif not load.available():
            _give_up(load.MISSING, 2)
        elif stages:
            click.echo(profiler.profile(options["connections"], options["seconds"], _tell))
        else:
            plan = _plan(**options)
            _speed(plan, _selected(plan, only))
    except (ServerError, load.LoadError) as failure:
        _give_up(str(failure), 1)


def _plan(workload: str, **options: Any) -> Plan:
    return Plan(WORKLOADS[workload], **options)


def _selected(plan: Plan, only: tuple[str, ...]) -> list[Server]:
    servers = [
        server
        for name, server in SERVERS.items()
        if (name in only or not only) and plan.workload.name in (server.answers or WORKLOADS)
    ]
    for server in servers:
        if server.missing():
            _tell(f"left out: {server.name}, as {', '.join(server.missing())} is not installed")
    return [server for server in servers if not server.missing()]


def _speed(plan: Plan, servers: list[Server]) -> None:
    machine = facts({package for server in servers for package in server.packages})
    server_core, load_core = cores()
    with ExitStack() as stack:
        up = [
            RunningServer(server, os.getpid(), 0)
            if server.name == IN_PROCESS
            else stack.enter_context(running(server, plan.workload, server_core))
            for server in servers
        ]
        with pinned(load_core):
            turns = measure(plan, up, _tell)
    click.echo(markdown(plan, servers, summarize(turns, plan.baseline), machine))


def _resources() -> str:
    measured, recommended = resources.measure()
    tables = (
        table(("`ashapp serve`", "measured"), measured.rows()),
        table(("container", "recommended"), recommended.items()),
    )
    return "\n\n".join(tables)


def _tell(progress: str) -> None:
    click.echo(progress, err=True)


def _give_up(reason: str, code: int) -> None:
    _tell(reason)
    sys.exit(code)


def _terminated(*_: object) -> None:
    # As an exception, so that the servers are stopped on the way out.
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)
    main(prog_name="python -m tests.benchmarks")
