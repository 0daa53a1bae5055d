# SPDX-License-Identifier: MIT
"""Prints the report of ``ashapp routes`` as tables."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import IO

import click

from ashapp.server.introspection.hooks import Hook
from ashapp.server.introspection.report import Report
from ashapp.server.introspection.routes import Route
from ashapp.server.operating_system.terminal import wants_colors

__all__ = ["print_report"]

# Flask adds these to the methods of a rule by itself.
_IMPLIED = {"HEAD", "OPTIONS"}
_COLOURS = {"loop": "green", "request_thread": "cyan", "thread": "yellow"}
# A reason that the column of kinds tells already.
_PLAIN = "sync view"
# The least width of a column.
_NARROWEST = 8


def print_report(report: Report, file: IO[str] | None = None) -> None:
    """Print tables to *file*, standard output by default: as wide as the terminal, else of any width.

    What is too long for a terminal is folded. COLUMNS is another width. There are colours at a terminal.
    """
    stream = sys.stdout if file is None else file
    is_limited = stream.isatty() or "COLUMNS" in os.environ
    width = shutil.get_terminal_size((80, 24)).columns if is_limited else sys.maxsize
    for line in _lines(report, width):
        click.echo(line, stream, color=wants_colors(stream))


def _lines(report: Report, width: int) -> Iterator[str]:
    for prefix, mounted in report.mounts.items():
        yield f"Mounted below {prefix}: {mounted}"
    if not report.flask:
        told = f"{report.target} is no Flask application: each request runs on a thread as a whole."
        yield textwrap.fill(told, width)
        return
    # Each note once, with a number.
    distinct = dict.fromkeys(note for route in report.routes if (note := _note(route)))
    notes = {note: number for number, note in enumerate(distinct, 1)}
    yield from _table(_routes(report.routes, notes), width)
    for note, number in notes.items():
        yield textwrap.fill(f"[{number}] {note}", width)
    if report.hooks:
        told = "Hooks, and where they run around an async view (request_thread: of its own)"
        yield f"\n{textwrap.fill(told, width)}"
        yield from _table(_hooks(report.hooks), width)
    count, on_loop = len(report.routes), sum(route.runs_on == "loop" for route in report.routes)
    yield f"\nRules: {count}, of them {on_loop} on the loop and {count - on_loop} on threads."
    if any(route.websocket and route.runs_on == "thread" for route in report.routes):
        told = "A WebSocket on a thread holds one of --websocket-threads until it is closed."
        yield textwrap.fill(told, width)
    if report.tools:
        told = f"Around them, and known to pass on without waiting: {', '.join(report.tools)}."
        yield textwrap.fill(told, width)
    if report.reason:
        yield textwrap.fill(f"No async view can run on the loop: {report.reason}.", width)


def _note(route: Route) -> str:
    """Return the note on a route, or nothing."""
    if route.held_by:
        return f"holds a thread while it waits, as these are sync: {', '.join(route.held_by)}"
    if route.reason is None or route.reason == _PLAIN:
        return ""
    return f"{route.reason} (on an event loop of its own)" if route.own_loop else route.reason


def _routes(routes: Iterable[Route], notes: Mapping[str, int]) -> Iterator[list[str]]:
    yield ["Rule", "Methods", "Endpoint", "View", "Runs on"]
    for route in routes:
        note = _note(route)
        yield [
            f"{route.domain}|{route.rule}" if route.domain else route.rule,
            _methods(route),
            route.endpoint,
            f"{route.kind} (async {', '.join(route.async_methods)})" if route.async_methods else route.kind,
            f"{route.runs_on} [{notes[note]}]" if note else route.runs_on,
        ]


def _methods(route: Route) -> str:
    if route.websocket:
        return "WebSocket"
    return ", ".join(method for method in route.methods if method not in _IMPLIED)


def _hooks(hooks: Iterable[Hook]) -> Iterator[list[str]]:
    yield ["Hook", "Name", "Scope", "Kind", "Runs on"]
    for hook in hooks:
        yield [
            f"{hook.hook} {hook.on}" if hook.on else hook.hook,
            hook.name,
            f"blueprint {hook.blueprint}" if hook.blueprint else "app",
            hook.kind,
            hook.runs_on,
        ]


def _table(rows: Iterable[list[str]], width: int) -> Iterator[str]:
    """Yield the lines of a table of at most *width* columns, with the first of *rows* as its header."""
    header, *others = rows
    widths = [max(map(len, column)) for column in zip(header, *others, strict=True)]
    spaces = 2 * (len(widths) - 1)
    while sum(widths) + spaces > width and max(widths[:-1]) > _NARROWEST:
        widths[widths.index(max(widths[:-1]))] -= 1
    yield from _row(header, widths)
    yield "-" * (sum(widths) + spaces)
    for row in others:
        yield from _row(row, widths)


def _row(row: list[str], widths: list[int]) -> Iterator[str]:
    colour = _COLOURS.get(row[-1].partition(" ")[0], "")
    folded = [textwrap.wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    for parts in zip_longest(*folded, fillvalue=""):
        *cells, place = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
        is_coloured = colour and place.strip()
        yield "  ".join([*cells, click.style(place.rstrip(), colour) if is_coloured else place]).rstrip()
