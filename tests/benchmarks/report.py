# SPDX-License-Identifier: MIT
"""From turns to medians, ratios and Markdown, with the facts of the machine; nothing that names it."""

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.benchmarks.rounds import Plan, Turn
from tests.benchmarks.servers.commands import Server
from tests.benchmarks.servers.processes import cores

__all__ = ["Summary", "facts", "markdown", "processor", "summarize", "table"]

# Beside the servers themselves: what is in every one of them or under several.
_COMMON = ("flask", "werkzeug", "uvloop", "httptools")

_HEADER = (
    "server",
    "CPU per request, µs",
    "least to most",
    "to {}",
    "requests/s",
    "to {}",
    "core used",
    "p99, ms",
    "4xx, 5xx",
)


@dataclass(frozen=True)
class Summary:
    """One server over all rounds: medians, but for the least, the most and the share of failed answers.

    CPU times are in µs per request. A ratio is the median of the ratios to the baseline in the same round.
    What can't be told, as nothing was answered or the baseline did not run, is None.
    """

    cpu: float | None
    cpu_least: float | None
    cpu_most: float | None
    cpu_ratio: float | None
    rate: float
    rate_ratio: float | None
    busy: float  # CPU time by time, 1 is a core that did nothing else
    p99: float  # seconds
    failed: float  # share of the answers, 0 to 1
    socket_errors: int


def summarize(turns: Mapping[str, Sequence[Turn]], baseline: str) -> dict[str, Summary]:
    """Return the summary of each server's turns, by its name; ratios are to the server *baseline*."""
    return {name: _summary(of_server, turns.get(baseline, ())) for name, of_server in turns.items()}


def _summary(turns: Sequence[Turn], baseline: Sequence[Turn]) -> Summary:
    cpu = [turn.cpu_per_request for turn in turns if turn.cpu_per_request is not None]
    answers = sum(turn.load.requests for turn in turns)
    return Summary(
        cpu=median(cpu) if cpu else None,
        cpu_least=min(cpu, default=None),
        cpu_most=max(cpu, default=None),
        cpu_ratio=_ratio([t.cpu_per_request for t in turns], [t.cpu_per_request for t in baseline]),
        rate=median(turn.requests_per_second for turn in turns),
        rate_ratio=_ratio([t.requests_per_second for t in turns], [t.requests_per_second for t in baseline]),
        busy=median(turn.busy for turn in turns),
        p99=median(turn.load.p99 for turn in turns),
        failed=sum(turn.load.failed for turn in turns) / answers if answers else 0.0,
        socket_errors=sum(turn.load.socket_errors for turn in turns),
    )


def _ratio(values: Iterable[float | None], baseline: Iterable[float | None]) -> float | None:
    """Return the median of the ratios, round by round; None if there is no round with both values."""
    # Not strict: without a baseline there are no rounds to compare.
    pairs = zip(values, baseline, strict=False)
    ratios = [value / base for value, base in pairs if value is not None and base]
    return median(ratios) if ratios else None


def markdown(
    plan: Plan,
    servers: Sequence[Server],
    summaries: Mapping[str, Summary],
    facts: Mapping[str, str],
) -> str:
    """Return the report of a run."""
    rows = [_row(server.title, summaries[server.name]) for server in servers]
    how = f"{plan.connections} keep-alive connections, median of {plan.rounds} rounds of {plan.seconds} s."
    lines = [
        f"**{plan.workload.name}**: {plan.workload.title}; {how}",
        "",
        table([title.format(plan.baseline) for title in _HEADER], rows),
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        *(f"- {server.title}: `{server.command_line()}`" for server in servers if server.arguments),
        *(
            f"- {server.title}: {summaries[server.name].socket_errors} socket errors"
            for server in servers
            if summaries[server.name].socket_errors
        ),
    ]
    if any(summary.failed for summary in summaries.values()):
        lines.append(
            "- Answers with 4xx or 5xx count as requests: where there are any, the rest tells little."
        )
    return "\n".join(lines)


def _row(title: str, summary: Summary) -> list[str]:
    return [
        title,
        _number(summary.cpu, 1),
        f"{_number(summary.cpu_least, 1)} to {_number(summary.cpu_most, 1)}",
        _number(summary.cpu_ratio, 2),
        _number(summary.rate, 0),
        _number(summary.rate_ratio, 2),
        f"{summary.busy:.0%}",
        _number(summary.p99 * 1000, 1),
        f"{summary.failed:.1%}",
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, its first column to the left and the others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(line, widths) for line in (lines[0], rule, *lines[1:]))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cells[0].ljust(widths[0])]
    padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join(padded)} |"


def facts(packages: Iterable[str]) -> dict[str, str]:
    """Return the facts by their names, with the versions of *packages*."""
    server, load = cores()
    shared = " (shared: the servers lose time to the load)" if server == load else ""
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Processor": f"{processor(Path('/proc/cpuinfo').read_text())}, {platform.machine()}",
        "Cores": f"{os.cpu_count()}; servers on core {server}, load on core {load}{shared}",
        "Load average before": f"{os.getloadavg()[0]:.2f}",
        "Versions": ", ".join(f"{name} {version(name)}" for name in sorted({*packages, *_COMMON})),
    }


def processor(cpuinfo: str) -> str:
    """Return the model in ``/proc/cpuinfo``; not every architecture tells it."""
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return model[1].strip() if model else "unknown"
