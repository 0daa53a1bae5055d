# SPDX-License-Identifier: MIT
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from ashapp.server.health import readiness

# By a server, or by what prints to a terminal: processes of pytest-xdist have COLUMNS.
_READ = re.compile(
    r"ASHAPP_|FLASK_|(PORT|WEB_CONCURRENCY|FORWARDED_ALLOW_IPS|COLUMNS|LINES|NO_COLOR|FORCE_COLOR)$"
)

Project = Callable[..., Path]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if _READ.match(name):
            monkeypatch.delenv(name)
    # Tests that run at once would all want the default one.
    monkeypatch.setenv("ASHAPP_MANAGEMENT_PORT", "off")
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture(autouse=True)
def _shared_thread_locals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start services in the process of the tests without what would change all of it for good."""
    monkeypatch.setattr("ashapp.server.serving.process.isolate_thread_locals", lambda: True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Write files into an empty folder that is the current one; forget what was imported from it."""

    def write(**files: str) -> Path:
        for name, source in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(source))
        importlib.invalidate_caches()
        return tmp_path

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield write
    for name in [name for name in sys.modules if name not in before and _is_below(tmp_path, name)]:
        del sys.modules[name]


@pytest.fixture
def no_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without readiness checks; forget those of the test."""
    monkeypatch.setattr(readiness, "_checks", {})


def _is_below(folder: Path, name: str) -> bool:
    module = sys.modules[name]
    # A namespace package has no file but a path.
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(place and place.startswith(str(folder)) for place in places)
