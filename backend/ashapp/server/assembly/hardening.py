# SPDX-License-Identifier: MIT
"""What a Flask application may not be while it is served: in debug mode, or signing with a guessable key."""

import os
from collections.abc import Iterable

from flask.app import Flask
from flask.helpers import get_debug_flag
from werkzeug.debug import DebuggedApplication

from ashapp.server.assembly.secret_keys import SHORTEST_KEY, is_weak
from ashapp.server.errors import StartupError

__all__ = ["forbid_debug", "forbid_debug_variable", "forbid_debugger", "require_strong_key"]


def forbid_debug_variable() -> list[str]:
    """Switch ``FLASK_DEBUG`` off for this process and its children; return a warning if it was on."""
    if not get_debug_flag():
        return []
    os.environ["FLASK_DEBUG"] = "0"
    return ["FLASK_DEBUG is set, but 'serve' never runs in debug mode: it is off"]


def forbid_debugger(layers: Iterable[object], label: str) -> None:
    """Raise `StartupError` if one of *layers* is Werkzeug's debugger, which runs a visitor's code."""
    if any(issubclass(type(layer), DebuggedApplication) for layer in layers):
        raise StartupError(f"{label} has Werkzeug's debugger in it, which runs a visitor's code: remove it")


def forbid_debug(app: Flask, label: str) -> list[str]:
    """Take debug mode from the application; return warnings."""
    warnings = []
    if app.debug:
        app.debug = False
        warnings.append(f"{label} sets debug, but 'serve' never runs in debug mode: it is off")
    if app.testing:
        warnings.append(f"{label} sets TESTING: exceptions go past Flask's error pages")
    return warnings


def require_strong_key(app: Flask, label: str, given: str | None, *, production: bool) -> list[str]:
    """Return warnings of the SECRET_KEY of *app*; *given* takes the place of none, and of a weak one.

    Raises `StartupError` for a weak one in production, old keys that are still accepted among them.
    """
    warnings = []
    if given is not None and (not app.secret_key or is_weak(app.secret_key)):
        if app.secret_key and not is_weak(given):
            warnings.append(f"the SECRET_KEY of {label} is weak: that of ASHAPP_SECRET_KEY is used instead")
        app.secret_key = given
    if not app.secret_key:
        return [f"{label} has no SECRET_KEY and can't use sessions; ASHAPP_SECRET_KEY[_FILE] sets one"]
    complaint = _complaint(app, label)
    if complaint and production:
        raise StartupError(f"{complaint} (ASHAPP_ENVIRONMENT=development makes this a warning)")
    return [*warnings, complaint] if complaint else warnings


def _complaint(app: Flask, label: str) -> str:
    """Say which key is weak, and what to do; nothing if none is."""
    need = f"it must be at least {SHORTEST_KEY} bytes that nobody can guess"
    if is_weak(app.secret_key or ""):
        return (
            f"the SECRET_KEY of {label} is weak: {need}, as 'python -c \"import secrets; "
            "print(secrets.token_hex())\"' makes them; change it, or give one by ASHAPP_SECRET_KEY[_FILE], "
            "which takes its place"
        )
    if any(map(is_weak, app.config.get("SECRET_KEY_FALLBACKS") or ())):
        return f"one of the SECRET_KEY_FALLBACKS of {label} is weak: {need}; remove it from the application"
    return ""
