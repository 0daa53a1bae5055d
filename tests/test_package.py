# SPDX-License-Identifier: MIT
import importlib.metadata
import importlib.resources
import pkgutil
import re
import subprocess
import sys
from types import ModuleType

import pytest

import ashapp
import ashapp.api
import ashapp.bridge

PACKAGES = [ashapp, ashapp.api, ashapp.bridge]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(ashapp.__path__, "ashapp.")
    if not module.name.endswith("__main__")
)


def run(program: str, *arguments: str) -> str:
    """Run *program* in an interpreter of its own, and return what it prints."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


def test_public_names() -> None:
    assert {"FlaskToAsgi", "WsgiToAsgi", "__version__", "create_app", "readiness_check"} <= set(
        ashapp.__all__
    )


def by_kind(name: str) -> tuple[bool, bool, str]:
    """Constants first, then classes, then the rest."""
    return not name.isupper(), not name[0].isupper(), name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_public_names_are_sorted_and_complete(package: ModuleType) -> None:
    names = package.__all__
    assert names == sorted(set(names), key=by_kind)
    assert all(hasattr(package, name) for name in names)
    imported = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("ashapp")
    }
    assert imported <= set(names)


@pytest.mark.parametrize("name", MODULES)
def test_each_module_says_what_it_is_and_what_it_offers(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    names = getattr(module, "__all__", None)
    assert names is not None or hasattr(module, "__path__")
    assert all(hasattr(module, name) for name in names or ())


def test_any_module_can_be_the_first_that_is_imported() -> None:
    program = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "ashapp"]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""
    run(program, *MODULES)


@pytest.mark.parametrize("name", ["ashapp", "ashapp.bridge", "ashapp.api"])
def test_importing_it_imports_no_server(name: str) -> None:
    loaded = run(f"import sys, {name}; print(*sys.modules)").split()
    assert not {"uvicorn", "click.testing", "pydantic", "ashapp.server"}.intersection(loaded)


def test_importing_the_package_alone_imports_nothing_but_itself() -> None:
    loaded = run("import ashapp, sys; print(*sys.modules)").split()
    assert not {"flask", "greenlet", "ashapp.bridge"}.intersection(loaded)


def test_importing_readiness_check_imports_no_server() -> None:
    loaded = run("import sys; from ashapp import readiness_check; print(*sys.modules)").split()
    assert not {"uvicorn", "flask", "click", "pydantic"}.intersection(loaded)


def test_public_names_can_be_listed_and_others_are_unknown() -> None:
    assert set(ashapp.__all__) <= set(dir(ashapp))
    with pytest.raises(AttributeError, match="module 'ashapp' has no attribute 'nosuch'"):
        _ = ashapp.nosuch  # type: ignore[attr-defined]


def test_the_bridge_imports_nothing_else_of_ours() -> None:
    # ``ashapp`` itself imports the reference application, so it is kept from running.
    program = """
import sys, types, importlib.util
package = types.ModuleType("ashapp")
package.__path__ = importlib.util.find_spec("ashapp").submodule_search_locations
sys.modules["ashapp"] = package
import ashapp.bridge
print(*[name for name in sys.modules if name.startswith("ashapp")])
"""
    assert all(name == "ashapp" or name.startswith("ashapp.bridge") for name in run(program).split())


def test_types_are_shipped() -> None:
    assert importlib.resources.files(ashapp).joinpath("py.typed").is_file()


def test_the_version_is_that_of_the_distribution() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", ashapp.__version__)
    try:
        installed = importlib.metadata.version("ashapp-backend")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("run from the source tree: no distribution is installed")
    assert installed == ashapp.__version__
