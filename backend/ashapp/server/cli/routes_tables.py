# SPDX-License-Identifier: MIT
"""A report as tables for a person; the only module that needs rich."""

from collections.abc import Iterable, Mapping
from typing import IO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ashapp.server.inspection.hooks import Hook
from ashapp.server.inspection.report import Report
from ashapp.server.inspection.routes import Route

__all__ = ["print_report"]

# Flask adds these to the methods of a rule by itself.
_IMPLIED = {"HEAD", "OPTIONS"}
_STYLES = {"loop": "green", "request_thread": "cyan", "thread": "yellow"}
# What the column of kinds tells already.
_PLAIN = "sync view"


def print_report(report: Report, file: IO[str] | None = None) -> None:
    """Print tables to *file*, standard output by default: as wide as the terminal, else 80 columns.

    What is too long is folded. There are colours at a terminal only.
    """
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    for prefix, mounted in report.mounts.items():
        console.print(f"Mounted below {prefix}: {mounted}", soft_wrap=True)
    if not report.flask:
        line = f"{report.target} is no Flask application: each request runs on a thread as a whole."
        console.print(line, soft_wrap=True)
        return
    # Each note once, with a number.
    distinct = dict.fromkeys(note for route in report.routes if (note := _note(route)))
    notes = {note: number for number, note in enumerate(distinct, 1)}
    console.print(_routes(report.routes, notes))
    for note, number in notes.items():
        console.print(f"[{number}] {note}")
    if report.hooks:
        console.print("\nHooks, and where they run around an async view (request_thread: of its own)")
        console.print(_hooks(report.hooks))
    count, on_loop = len(report.routes), sum(route.runs_on == "loop" for route in report.routes)
    console.print(f"\nRules: {count}, of them {on_loop} on the loop and {count - on_loop} on threads.")
    if any(route.websocket and route.runs_on == "thread" for route in report.routes):
        console.print("A WebSocket on a thread holds one of --websocket-threads until it is closed.")
    if report.reason:
        console.print(f"No async view can run on the loop: {report.reason}.")


def _note(route: Route) -> str:
    """Return the note on a route, or nothing."""
    if route.held_by:
        return f"holds a thread while it waits, as these are sync: {', '.join(route.held_by)}"
    if route.reason is None or route.reason == _PLAIN:
        return ""
    return f"{route.reason} (on an event loop of its own)" if route.own_loop else route.reason


def _routes(routes: Iterable[Route], notes: Mapping[str, int]) -> Table:
    table = _table("Rule", "Methods", "Endpoint", "View")
    for route in routes:
        place = Text(route.runs_on, style=_STYLES[route.runs_on])
        if note := _note(route):
            place.append(f" [{notes[note]}]")
        table.add_row(
            Text(f"{route.domain}|{route.rule}" if route.domain else route.rule),
            Text(_methods(route)),
            Text(route.endpoint),
            Text(
                f"{route.kind} (async {', '.join(route.async_methods)})"
                if route.async_methods
                else route.kind
            ),
            place,
        )
    return table


def _methods(route: Route) -> str:
    if route.websocket:
        return "WebSocket"
    return ", ".join(method for method in route.methods if method not in _IMPLIED)


def _hooks(hooks: Iterable[Hook]) -> Table:
    table = _table("Hook", "Name", "Scope", "Kind")
    for hook in hooks:
        table.add_row(
            Text(f"{hook.hook} {hook.on}" if hook.on else hook.hook),
            Text(hook.name),
            Text(f"blueprint {hook.blueprint}" if hook.blueprint else "app"),
            Text(hook.kind),
            Text(hook.runs_on, style=_STYLES[hook.runs_on]),
        )
    return table


def _table(*headers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for header in headers:
        table.add_column(header, overflow="fold")
    table.add_column("Runs on", no_wrap=True)
    return table
