# SPDX-License-Identifier: MIT
"""Turns a configuration file of gunicorn into a settings file of ours."""

import json
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

from ashapp.server.errors import StartupError, describe
from ashapp.server.gunicorn.counterparts import COUNTERPARTS

__all__ = ["read_gunicorn_file", "settings_file"]

# Settings to which several settings of gunicorn add.
_LISTS = {"forwarded_allow_ips"}
# Settings of gunicorn whose new names say enough.
_PLAIN = {"bind", "wsgi_app"}
# Words in the names of worker classes that ignore ``threads``.
_WITHOUT_THREADS = ("gevent", "eventlet", "tornado", "uvicorn", "asgi")


def read_gunicorn_file(path: Path) -> dict[str, Any]:
    """Run a configuration file of gunicorn, which is Python, and return the names that it sets.

    Raises:
        StartupError: it can't be read, or fails.
    """
    names: dict[str, Any] = {"__name__": "__config__", "__file__": str(path), "__spec__": _spec(path)}
    sys.path.insert(0, str(Path.cwd()))
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), names)  # noqa: S102 - it is a program of who asks
    except OSError as error:
        raise StartupError(f"{path} can't be read: {error.strerror}") from error
    except Exception as error:
        raise StartupError(f"{path} is no configuration of gunicorn: {describe(error)}") from error
    finally:
        del sys.path[0]
    return names


def _spec(path: Path) -> ModuleSpec:
    """Return the spec of the file as a module: Python 3.15 requires one."""
    return ModuleSpec("__config__", SourceFileLoader("__config__", str(path)), origin=str(path))


def settings_file(given: Mapping[str, Any], source: str) -> str:
    """Return the TOML file for the settings of gunicorn in *given*; *source* is where they come from.

    Settings without a counterpart are named in comments, as is what differs. Other names are left out, as
    gunicorn does.
    """
    settings: dict[str, Any] = {}
    notes: dict[str, str] = {}
    untold: list[str] = []
    worker_class = str(given.get("worker_class")).lower()
    has_threads = not any(word in worker_class for word in _WITHOUT_THREADS)
    for name, value in given.items():
        if name not in COUNTERPARTS or value is None:
            continue
        counterpart = COUNTERPARTS[name]
        if name == "threads" and not has_threads:
            untold.append(f"{name}: gunicorn takes no notice of it with this worker_class; here it is 40")
            continue
        try:
            found = counterpart.convert(value)
        except (TypeError, ValueError, AttributeError):
            raise StartupError(f"{name} = {value!r} ({source}): gunicorn refuses such a value too") from None
        if both := settings.keys() & found.keys() & _LISTS:
            found |= {each: f"{settings[each]},{found[each]}" for each in both}
        settings |= found
        notes |= dict.fromkeys(found, "" if name in _PLAIN else counterpart.note)
        if value and not found:
            untold.append(f"{name}: {counterpart.note or 'this value has no counterpart'}")
    return "\n".join(_lines(settings, notes, untold, source))


def _lines(
    settings: Mapping[str, Any], notes: Mapping[str, str], untold: list[str], source: str
) -> Iterator[str]:
    yield f"# Made of {source} by ashapp migrate: ashapp serve --config <this file>"
    for name, value in settings.items():
        # What JSON writes for a text, a number or a truth value is TOML too.
        note = f"  # {notes[name]}" if notes[name] else ""
        yield f"{name} = {json.dumps(value, ensure_ascii=False)}{note}"
    if untold:
        yield ""
        yield "# Without a counterpart:"
        yield from (f"# - {each}" for each in untold)
    yield ""
