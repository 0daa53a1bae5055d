# SPDX-License-Identifier: MIT
"""Find an application in a folder where none is named, as ``flask run`` and Django's manage.py do."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ashapp.server.errors import StartupError

__all__ = ["find_target", "seeming_targets", "what_is_there"]

# In this order, as Flask looks for them. It imports them by name, so a package wins over a file.
_CUSTOMARY = ("wsgi", "app")

# Python files and folders that are no applications.
_TOOLS = {
    "conf",
    "conftest",
    "docs",
    "examples",
    "fabfile",
    "manage",
    "migrations",
    "noxfile",
    "scripts",
    "setup",
    "tasks",
    "test",
    "tests",
}
# Files that may hold an application: in the folder, in packages, and in packages below src.
_PLACES = ("*.py", *(f"{above}*/{name}.py" for above in ("", "src/") for name in ("__init__", "app", "wsgi")))

# Code that assigns an application, or is a factory of one.
_ASSIGNED = re.compile(
    r"^(?:(\w+)\s*=\s*[\w.]*Flask\(|(app|application)\s*=|def (create_app|make_app)\()", re.MULTILINE
)

# How many files, or targets, are named.
_NAMED = 3


def find_target(folder: Path) -> str | None:
    """Return the target of the application in *folder*; None if there is no code of an application.

    Raises:
        StartupError: there is code, but which of it is the application is unclear.
    """
    if not os.access(folder, os.R_OK | os.X_OK):
        return None
    for name in _CUSTOMARY:
        if (folder / name / "__init__.py").is_file():
            return name
        if (folder / f"{name}.py").is_file():
            return f"{name}.py"
    if (folder / "manage.py").is_file():
        modules = sorted(folder.glob("*/wsgi.py"))
        if len(modules) == 1:
            return f"{modules[0].parent.name}.wsgi"
    code = sorted(_code(folder))
    if not code:
        return None
    more = ", …" if len(code) > _NAMED else ""
    example = next(seeming_targets(folder), f"{code[0].removesuffix('.py')}:app")
    raise StartupError(
        "no application is named, and there is no wsgi.py and no app.py here, but other code "
        f"({', '.join(code[:_NAMED])}{more}): name it, as in 'ashapp serve {example}', or by "
        "ASHAPP_APP or FLASK_APP"
    )


def _code(folder: Path) -> Iterator[str]:
    """Yield the modules and packages in *folder*, and in its folders, that may hold an application."""
    packages = {path.parent for path in (*folder.glob("*/__init__.py"), *folder.glob("src/*/__init__.py"))}
    modules = {
        path for path in (*folder.glob("*.py"), *folder.glob("[!.]*/*.py")) if path.parent not in packages
    }
    for path in packages | modules:
        relative = path.relative_to(folder)
        names = relative.with_suffix("").parts
        if _TOOLS.isdisjoint(names) and not names[-1].startswith("test_"):
            yield relative.as_posix()


def seeming_targets(folder: Path) -> Iterator[str]:
    """Yield likely targets in *folder*; none of them is imported."""
    for path in sorted(path for place in _PLACES for path in folder.glob(place)):
        parts = path.relative_to(folder).with_suffix("").parts
        if not _TOOLS.isdisjoint(parts) or parts[-1].startswith("test_"):
            continue
        # A module below src can be imported by name only if it is installed. A path always works.
        name = ("/" if parts[0] == "src" else ".").join(parts).removesuffix("__init__").rstrip("./")
        for match in _ASSIGNED.finditer(_text(path)):
            yield f"{name}:{match[1] or match[2] or match[3]}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # no file, or not one of this user
        return ""


def what_is_there(folder: Path) -> str:
    """Return the end of a message, which names likely targets in *folder*; empty if there are none."""
    found = ", ".join(map(repr, islice(seeming_targets(folder), _NAMED)))
    return f"; here is {found}" if found else ""
