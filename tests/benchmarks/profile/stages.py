# SPDX-License-Identifier: MIT
"""To which stage of a request code belongs, by its file and function; and samples and counts by stage."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from tests.benchmarks.report import table

__all__ = ["REST", "STAGES", "breakdown", "samples", "stage_of"]

#: What is in no stage: the event loop, the start of threads, the interpreter.
REST = "event loop, rest"

# The first pattern that is found in "file:function" counts; the standard library belongs to its caller.
_PATTERNS = {
    "send": r"/protocols/.*:(.*\.)?send$|ashapp/server/protocols/(cycle|delivery)\.py",
    "parse": r"uvicorn/protocols/|ashapp/server/protocols/",
    "middleware": r"ashapp/server/middleware/",
    "log": r"ashapp/observe/logs/",
    "metrics": r"ashapp/observe/metrics/|prometheus_client/",
    "observation": r"ashapp/observe/",
    "environ": r"ashapp/bridge/messages/(environ|headers)\.py",
    "response": r"ashapp/bridge/(messages/response|request/output_queue)\.py",
    "hand-over": r"ashapp/bridge/(concurrency|admission)/",
    "Flask": r"(flask|werkzeug|jinja2|itsdangerous|blinker|click)/|/bridge/flask/|tests/benchmarks/",
    "bridge": r"ashapp/bridge/",
}
STAGES = (*_PATTERNS, REST)

_FRAME = re.compile(r"(?P<function>.*) \((?P<file>[^()]*?)(?::\d+)?\)")


def stage_of(file: str, function: str) -> str | None:
    """Return the stage of *function* in *file*; None if it belongs to whoever calls it."""
    place = f"/{file}:{function}"
    return next((stage for stage, pattern in _PATTERNS.items() if re.search(pattern, place)), None)


def samples(raw: str) -> Counter[str]:
    """Return how many samples are in which stage, of what ``py-spy record --format raw`` has written.

    A line is a stack, its outermost frame first, and how often it was seen. A greenlet has its own stack.
    """
    found: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = (match for frame in reversed(stack.split(";")) if (match := _FRAME.fullmatch(frame)))
        stages = (stage_of(match["file"], match["function"]) for match in frames)
        found[next(filter(None, stages), REST)] += int(count)
    return found


def breakdown(columns: Mapping[str, tuple[float, Mapping[str, int], Mapping[str, float]]]) -> str:
    """Return a table by stage. A column is the µs of a request, its samples and its calls, by its title."""
    header, lines = ["stage"], [[stage] for stage in (*STAGES, "all")]
    for title, (cpu, seen, calls) in columns.items():
        header += [f"{title}, µs", "calls"]
        whole = max(1, sum(seen.values()))
        for line, stage in zip(lines, STAGES, strict=False):
            line += [f"{cpu * seen.get(stage, 0) / whole:.1f}", f"{calls.get(stage, 0):.0f}"]
        lines[-1] += [f"{cpu:.1f}", f"{sum(calls.values()):.0f}"]
    return table(header, _without_empty(lines))


def _without_empty(lines: Iterable[list[str]]) -> list[list[str]]:
    return [line for line in lines if any(float(cell) for cell in line[1:])]
