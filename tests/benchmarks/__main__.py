# SPDX-License-Identifier: MIT
"""``python -m tests.benchmarks``: server CPU time per request, ours beside others."""

import signal
import sys
from contextlib import ExitStack
from typing import Any

import click

from tests.benchmarks import load, resources
from tests.benchmarks.report import facts, markdown, summarize, table
from tests.benchmarks.rounds import Plan, measure
from tests.benchmarks.servers.apps import WORKLOADS
from tests.benchmarks.servers.commands import SERVERS, Server
from tests.benchmarks.servers.processes import ServerError, cores, pinned, running

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
    "--connections", type=click.IntRange(1, 1000), help="Keep-alive connections.  [default: 16, sleep: 32]"
)
@click.option(
    "--only",
    type=click.Choice(list(SERVERS)),
    multiple=True,
    help="Leave the other servers out; may be repeated.",
)
@click.option(
    "--resources",
    "container",
    is_flag=True,
    help="Measure what a container of the service needs instead; needs no wrk.",
)
def main(*, container: bool, only: tuple[str, ...], **options: Any) -> None:
    """Measure servers of one Flask application side by side: CPU time per request, requests per second."""
    try:
        if container:
            click.echo(_resources())
        elif not load.available():
            _give_up(load.MISSING, 2)
        else:
            _speed(_plan(**options), _selected(only))
    except (ServerError, load.LoadError) as failure:
        _give_up(str(failure), 1)


def _plan(workload: str, connections: int | None, rounds: int, seconds: int) -> Plan:
    chosen = WORKLOADS[workload]
    return Plan(chosen, connections or chosen.connections, rounds, seconds)


def _selected(only: tuple[str, ...]) -> list[Server]:
    servers = [server for name, server in SERVERS.items() if name in only or not only]
    for server in servers:
        if server.missing():
            _tell(f"left out: {server.name}, as {', '.join(server.missing())} is not installed")
    return [server for server in servers if not server.missing()]


def _speed(plan: Plan, servers: list[Server]) -> None:
    machine = facts({package for server in servers for package in server.packages})
    server_core, load_core = cores()
    with ExitStack() as stack:
        up = [stack.enter_context(running(server, plan.workload, server_core)) for server in servers]
        with pinned(load_core):
            turns = measure(plan, up, _tell)
    click.echo(markdown(plan, servers, summarize(turns), machine))


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
