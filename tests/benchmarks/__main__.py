# SPDX-License-Identifier: MIT
"""``python -m tests.benchmarks``: server CPU time per request, ours beside others."""

import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from tests.benchmarks import load, resources
from tests.benchmarks.cpu import cores, pinned
from tests.benchmarks.machine import facts
from tests.benchmarks.memory import peaks
from tests.benchmarks.processes import ServerError, running
from tests.benchmarks.report import as_json, markdown, summarize, table
from tests.benchmarks.rounds import Plan, measure
from tests.benchmarks.servers import SERVERS, Server
from tests.benchmarks.workloads import WORKLOADS

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
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all measurements there.",
)
@click.option("--memory", is_flag=True, help="Measure our memory above idle instead; needs no wrk.")
@click.option(
    "--resources",
    "container",
    is_flag=True,
    help="Measure what a container of the service needs instead; needs no wrk.",
)
def main(
    *, memory: bool, container: bool, json_file: Path | None, only: tuple[str, ...], **options: Any
) -> None:
    """Measure servers of one Flask application side by side: CPU time per request, requests per second."""
    try:
        if memory:
            click.echo(_memory())
        elif container:
            click.echo(_resources())
        elif not load.available():
            _give_up(load.MISSING, 2)
        else:
            _speed(_plan(**options), _selected(only), json_file)
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


def _speed(plan: Plan, servers: list[Server], json_file: Path | None) -> None:
    machine = facts({package for server in servers for package in server.packages})
    server_core, load_core = cores()
    with ExitStack() as stack:
        up = [stack.enter_context(running(server, plan.workload, server_core)) for server in servers]
        with pinned(load_core):
            turns = measure(plan, up, _tell)
    summaries = summarize(turns)
    click.echo(markdown(plan, servers, summaries, machine))
    if json_file is not None:
        content = as_json(plan, servers, turns, summaries, machine)
        json_file.write_text(json.dumps(content, indent=2) + "\n")


def _memory() -> str:
    with running(SERVERS["ashapp"], WORKLOADS["hello"], cores()[0]) as server:
        rows = [(what, f"{mebibytes:.1f}") for what, mebibytes in peaks(server).items()]
    return table(("ashapp on uvicorn", "MiB above idle"), rows)


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
