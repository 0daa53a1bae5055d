# SPDX-License-Identifier: MIT
"""Import the module of a target, or say in one line why that can't be done."""

import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

from flask.cli import prepare_import

from ashapp.server.discovery.folder import what_is_there
from ashapp.server.errors import StartupError, describe

__all__ = ["import_target", "require_module", "told"]


def require_module(target: str) -> Path | None:
    """Return the folder with the source of *target*, None if it is unknown. Nothing of it is imported.

    Raises:
        StartupError: there is no such module.
    """
    top = _module_name(_split(target)[0]).partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module that is imported already may have no finder
        return None
    if spec is None:
        raise _no_module(top)
    locations = spec.submodule_search_locations
    return Path(next(iter(locations))) if locations else Path(spec.origin or "").parent


def import_target(target: str) -> tuple[ModuleType, str]:
    """Import the module of *target*; return it with the expression after the colon, empty for none.

    Raises:
        StartupError: *target* is malformed, there is no such module, or the import fails.
    """
    # As under Flask's own command line, a call of app.run() in the module must not start a server.
    os.environ["FLASK_RUN_FROM_CLI"] = "true"
    path, expression = _split(target)
    return _import(path), expression


def _split(target: str) -> tuple[str, str]:
    path, colon, expression = target.partition(":")
    expression = expression.strip()
    if not path or (colon and not expression):
        raise StartupError(
            f"{target!r} is no target: it must be 'module', 'module:name' or the path of a file"
        )
    return path, expression


def _import(path: str) -> ModuleType:
    name = _module_name(path)
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}.") and not _raised_inside(error):
            raise _no_module(missing) from None
        raise StartupError(f"importing {path!r} failed: {told(error)}") from error
    _check_origin(module, path)
    return module


def _no_module(name: str) -> StartupError:
    folder = _current_folder()
    there = what_is_there(folder)
    return StartupError(f"there is no module {name!r}, neither in {folder} nor on the Python path{there}")


def told(error: BaseException) -> str:
    """Return a description of *error* of the application, and where a missing package was looked for."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    hint = f"; it is neither in {_current_folder()} nor installed for {sys.executable}"
    return describe(error) + (hint if missing and "." not in missing else "")


def _module_name(path: str) -> str:
    """Return the import name for a dotted name or a path, and put the folder it starts from on sys.path."""
    if path.endswith(".py") or "/" in path:
        if not (Path(path).exists() or Path(f"{path}.py").exists()):
            raise StartupError(f"there is no file {path!r}{what_is_there(_current_folder())}")
        return prepare_import(path)
    top = path.partition(".")[0]
    if Path(top).is_dir() or Path(f"{top}.py").is_file():
        return prepare_import(path)
    here = str(_current_folder())
    if here not in sys.path:
        sys.path.insert(0, here)
    return path


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # a deployment has replaced it while the service runs
        raise StartupError("the current folder is gone: start the service in one that stays") from None


def _check_origin(module: ModuleType, path: str) -> None:
    imported = getattr(module, "__file__", None)
    if path.endswith(".py") and imported and not Path(imported).samefile(path):
        raise StartupError(f"{path!r} can't be imported: its name is taken by {imported}; rename the file")


def _raised_inside(error: BaseException) -> bool:
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    return any(not file.startswith("<frozen importlib") for file in files - {__file__, importlib.__file__})
