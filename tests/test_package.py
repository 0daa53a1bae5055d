# SPDX-License-Identifier: MIT
import ast
import importlib.metadata
import importlib.resources
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

import ashapp

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(ashapp.__path__, "ashapp.")
    if not module.name.endswith("__main__")
)


def run(program: str) -> list[str]:
    """Run *program* in an interpreter of its own, and return the words that it prints."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.split()


def by_kind(name: str) -> tuple[bool, bool, str]:
    """Constants first, then classes, then the rest."""
    return not name.isupper(), not name[0].isupper(), name


def defined_in(source: str) -> set[str]:
    """Return the public names that a module defines itself."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names.update(target.id for target in targets if isinstance(target, ast.Name))
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("name", ["ashapp", *MODULES])
def test_each_module_says_what_it_is_and_offers_what_it_defines(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    offered = getattr(module, "__all__", [])
    assert offered == sorted(set(offered), key=by_kind)
    assert [unknown for unknown in offered if not hasattr(module, unknown)] == []
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    defined = {
        found for found in defined_in(source) if not isinstance(getattr(module, found), TypeVar | ParamSpec)
    }
    missing = defined - set(offered)
    assert not missing, f"add them to __all__ of {name}, or let them begin with an underscore"


@pytest.mark.parametrize("name", ["ashapp", "ashapp.bridge"])
def test_the_guides_name_nothing_that_is_not_offered(name: str) -> None:
    guides = [*Path(__file__).parents[1].glob("docs/*.md"), Path(__file__).parents[1] / "README.md"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in guides)
    named = re.findall(rf"from {re.escape(name)} import ([\w, ]+)", text)
    names = {word.strip() for words in named for word in words.split(",")}
    assert names <= set(importlib.import_module(name).__all__)


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import ashapp", {"flask", "greenlet", "ashapp.bridge", "uvicorn"}),
        (
            "from ashapp import FlaskToAsgi",
            {"uvicorn", "click.testing", "pydantic", "ashapp.server"},
        ),
        ("import ashapp.api", {"uvicorn", "click.testing", "httpx", "ashapp.server"}),
        ("from ashapp import readiness_check", {"uvicorn", "flask", "click", "pydantic"}),
    ],
)
def test_what_it_imports_is_what_it_needs(statement: str, unwanted: set[str]) -> None:
    assert not unwanted.intersection(run(f"import sys; {statement}; print(*sys.modules)"))


def test_public_names_can_be_listed_and_others_are_unknown() -> None:
    assert set(ashapp.__all__) <= set(dir(ashapp))
    with pytest.raises(AttributeError, match="module 'ashapp' has no attribute 'nosuch'"):
        _ = ashapp.nosuch  # type: ignore[attr-defined]


def test_types_are_shipped() -> None:
    assert importlib.resources.files(ashapp).joinpath("py.typed").is_file()


def test_the_version_is_that_of_the_distribution() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", ashapp.__version__)
    try:
        installed = importlib.metadata.version("ashapp-backend")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("run from the source tree: no distribution is installed")
    assert installed == ashapp.__version__
