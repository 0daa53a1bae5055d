# SPDX-License-Identifier: MIT
"""The order of the folders, which the imports keep: also those for types, and those within functions."""

import ast
import graphlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BACKEND = ROOT / "backend"

#: Files with a place of their own in the order, by the folder that they stand in front of.
FILES = {
    "testing": ["pytest_plugin"],
    "server/cli": ["__main__"],
    "api": [""],
    "observe": ["server"],
    "bridge/websocket": [
        f"bridge/{file}" for file in ("wsgi", "lifespan", "mounts", "forked_children", "lifespan_runner")
    ],
    "bridge/messages": [
        f"bridge/{file}" for file in ("concurrency/futures", "concurrency/call", "options", "stacks")
    ],
}

#: The folders of ARCHITECTURE.md, and those files. A module imports from its own line and those below it.
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ORDER = [
    f"ashapp/{path}".strip("/").replace("/", ".")
    for folder in re.findall(r"^\| `([\w/]+)`", PAGE, re.MULTILINE)
    for path in (*FILES.get(folder, ()), folder)
]

#: Imports that point up, or close a circle, and why. One that no longer does has to go from this list.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("ashapp.api.card", "ashapp"): "the version stands there, where the build looks for it",
    ("ashapp.server.management.gauges", "ashapp"): "the same",
}

# With ``__init__.py``.
MOST_FILES = 12


def modules() -> dict[str, Path]:
    """Return the files of the package by the names of their modules."""
    paths = sorted((BACKEND / "ashapp").rglob("*.py"))
    names = [".".join(path.relative_to(BACKEND).with_suffix("").parts) for path in paths]
    return dict(zip([name.removesuffix(".__init__") for name in names], paths, strict=True))


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Return the modules of ours that the module *name* imports, wherever that is written."""
    path = MODULES[name]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = name if path.stem == "__init__" else name.rpartition(".")[0]
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{source}.{alias.name}" for alias in node.names]
            found = [inner if inner in MODULES else source for inner in names]
        else:
            continue
        yield from (module for module in found if module in MODULES and module != name)


def place(name: str) -> int:
    """Return the line of ``ORDER`` that the module *name* belongs to."""
    return ORDER.index(max((line for line in ORDER if f"{name}.".startswith(f"{line}.")), key=len))


ARROWS = {(name, imported) for name in MODULES for imported in imports(name)}


def circle(arrows: set[tuple[str, str]]) -> list[str]:
    """Return the modules of a circle, or none."""
    graph: dict[str, set[str]] = {}
    for name, imported in arrows:
        graph.setdefault(name, set()).add(imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_imports_point_down() -> None:
    up = [(name, imported) for name, imported in ARROWS - set(EXCEPTIONS) if place(imported) < place(name)]
    assert not up, (
        "each imports from a folder above its own, by ARCHITECTURE.md: pass the object in, or move it down"
    )


def test_no_module_is_in_a_circle() -> None:
    """So any of them can be the first that is imported."""
    assert circle(ARROWS - set(EXCEPTIONS)) == []


@pytest.mark.parametrize("arrow", EXCEPTIONS)
def test_the_exceptions_are_needed(arrow: tuple[str, str]) -> None:
    assert arrow in ARROWS
    name, imported = arrow
    assert place(imported) < place(name) or circle(ARROWS - set(EXCEPTIONS) | {arrow})


def test_a_folder_can_be_taken_in_at_once() -> None:
    tops = (BACKEND / "ashapp", ROOT / "tests")
    folders = {path.parent for top in tops for path in top.rglob("*.py")}
    crowded = [str(folder) for folder in folders if len(list(folder.glob("*.py"))) > MOST_FILES]
    assert not crowded, f"more than {MOST_FILES} files: move some into another folder, or into a new one"


def test_each_folder_of_tests_is_run() -> None:
    commands = (ROOT / "tox.ini").read_text(encoding="utf-8")
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("**/test_*.py"))}
    unrun = {folder for folder in folders if not re.search(rf"tests/{folder}\b", commands)}
    assert not unrun, "no command of tox.ini runs the tests in these folders: add them to one"
