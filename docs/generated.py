# SPDX-License-Identifier: MIT
"""Directives whose tables are made from the code: ``settings``, ``problems`` and ``gunicorn``."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from werkzeug import exceptions

import ashapp
from ashapp.server.cli.main import serve
from ashapp.server.gunicorn.counterparts import SECTIONS
from ashapp.server.settings.loading import flag

PACKAGE = Path(ashapp.__file__).parent

#: What refuses a request, called with a status and a detail; ``send_problem`` has *send* before them.
REFUSALS = {"Refusal": 0, "RequestRejected": 0, "problem": 0, "send_problem": 1}
#: Exceptions of Werkzeug that nobody is told of by an answer.
UNANSWERED = {"ClientDisconnected"}


class SettingsTable(SphinxDirective):
    """Tables of the settings, by the sections of the help page."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each group."""
        formatter = _Sections()
        with click.Context(serve) as context:
            serve.format_options(context, formatter)
            records = [(option.name, option.get_help_record(context)) for option in serve.params]
        names = {record[0]: name for name, record in records if name and record}
        lines: list[str] = []
        for title, rows in formatter.sections.items():
            lines += [f"## {title}", "", "| flag | variable | meaning |", "|---|---|---|"]
            lines += [
                f"| `{_cell(flag)}` | `ASHAPP_{names[flag].upper()}` | {_cell(text)} |"
                for flag, text in rows
                if flag in names
            ]
            lines.append("")
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


class ProblemsTable(SphinxDirective):
    """A table of the refusals in one folder of the package: status, title, when."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        found = sorted(set(refusals(PACKAGE / self.arguments[0])))
        lines = ["| status | title | when |", "|---|---|---|"]
        lines += [f"| {status} | {HTTPStatus(status).phrase} | {_cell(detail)} |" for status, detail in found]
        return self.parse_text_to_nodes("\n".join(lines))


class GunicornTable(SphinxDirective):
    """Tables of gunicorn's settings and what stands for them, by the sections of its reference."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each of them."""
        lines: list[str] = []
        for title, settings in SECTIONS.items():
            lines += [f"### {title}", "", "| gunicorn | ashapp | |", "|---|---|---|"]
            for name, counterpart in settings.items():
                ours = f"`{flag(counterpart.setting)}`" if counterpart.setting else ""
                lines.append(f"| `{name}` | {ours} | {_cell(counterpart.note)} |")
            lines.append("")
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


class _Sections(click.HelpFormatter):
    """Collects what a help page would show."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: dict[str, list[tuple[str, str]]] = {}
        self._title = ""

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        self._title = name
        yield

    def write_dl(self, rows: Iterable[tuple[str, str]], *_args: Any, **_options: Any) -> None:
        self.sections.setdefault(self._title, []).extend(rows)


def refusals(folder: Path) -> Iterator[tuple[int, str]]:
    """Return status and detail of each refusal that the Python files of *folder* have in so many words."""
    trees = [ast.parse(path.read_text()) for path in sorted(folder.rglob("*.py"))]
    constants = [(name, text) for tree in trees for name, text in _texts(tree) if name.isupper()]
    for tree in trees:
        texts = [*constants, *_texts(tree)]
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                yield from _refusal(call, call.func.id, texts)


def _texts(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Return the texts that have a name; one name may stand for several."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str()) | ast.JoinedStr()):
                yield name, node.value


def _refusal(call: ast.Call, name: str, texts: Iterable[tuple[str, ast.expr]]) -> Iterator[tuple[int, str]]:
    if name in REFUSALS:
        status, detail = call.args[REFUSALS[name] : REFUSALS[name] + 2]
        details = [detail]
        if isinstance(detail, ast.Name | ast.Attribute):
            named = detail.id if isinstance(detail, ast.Name) else detail.attr
            details = [text for other, text in texts if other == named]
        if isinstance(status, ast.Constant):
            yield from ((status.value, _text(text)) for text in details)
    elif name not in UNANSWERED and call.args:
        code = getattr(getattr(exceptions, name, None), "code", None)
        if isinstance(code, int):
            yield code, _text(call.args[0])


def _text(detail: ast.expr) -> str:
    match detail:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(_text, parts)).replace("……", "…")
        case _:
            return "…"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def skip_methods(_app: Sphinx, what: str, _name: str, member: object, *_: object) -> bool | None:
    """Leave out what is there for the server to look at: an application is made, and called by a server."""
    return True if what == "class" and (callable(member) or isinstance(member, property)) else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.connect("autodoc-skip-member", skip_methods)
    app.add_directive("settings", SettingsTable)
    app.add_directive("problems", ProblemsTable)
    app.add_directive("gunicorn", GunicornTable)
    return {"parallel_read_safe": True}
