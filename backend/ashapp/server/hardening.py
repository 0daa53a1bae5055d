# SPDX-License-Identifier: MIT
"""What a Flask application may not be while it is served: in debug mode, or signing with a guessable key."""

import os

from flask.app import Flask
from flask.helpers import get_debug_flag
from werkzeug.debug import DebuggedApplication

from ashapp.server.errors import StartupError

__all__ = ["forbid_debug", "forbid_debug_variable", "require_strong_key"]

_SHORTEST_KEY = 16

# Placeholders of tutorials and templates that are long enough to pass for a key.
_WELL_KNOWN_KEYS = frozenset(
    {
        b"change-me-in-production",
        b"my-super-secret-key",
        b"my_precious_secret_key",
        b"super-secret-key",
        b"this-is-a-secret-key",
        b"you-will-never-guess",
        b"your-secret-key-here",
        b"your_secret_key_here",
    }
)


def forbid_debug_variable() -> list[str]:
    """Switch ``FLASK_DEBUG`` off for this process and its children; return a warning if it was on."""
    if not get_debug_flag():
        return []
    os.environ["FLASK_DEBUG"] = "0"
    return ["FLASK_DEBUG is set, but 'serve' never runs in debug mode: it is off"]


def forbid_debug(app: Flask, label: str) -> list[str]:
    """Take debug mode from the application; return warnings.

    Raises `StartupError` if Werkzeug's debugger, which runs code that a visitor sends, wraps it.
    """
    warnings = []
    if isinstance(app.wsgi_app, DebuggedApplication):
        raise StartupError(
            f"{label} wraps its wsgi_app in Werkzeug's debugger, which runs a visitor's code: remove it"
        )
    if app.debug:
        app.debug = False
        warnings.append(f"{label} sets debug, but 'serve' never runs in debug mode: it is off")
    if app.testing:
        warnings.append(f"{label} sets TESTING: exceptions go past Flask's error pages")
    return warnings


def require_strong_key(app: Flask, label: str, *, production: bool) -> list[str]:
    """Return a warning if the application has no SECRET_KEY, or outside production a weak one.

    Raises `StartupError` for a weak one in production, old keys that are still accepted among them.
    """
    if not app.secret_key:
        return [f"{label} has no SECRET_KEY and can't use sessions; ASHAPP_SECRET_KEY[_FILE] sets one"]
    keys = [app.secret_key, *(app.config.get("SECRET_KEY_FALLBACKS") or ())]
    if not any(map(_is_weak, keys)):
        return []
    complaint = (
        f"the SECRET_KEY of {label} is weak: it must be at least {_SHORTEST_KEY} bytes that nobody can guess"
    )
    if production:
        raise StartupError(f"{complaint} (ASHAPP_ENVIRONMENT=development makes this a warning)")
    return [complaint]


def _is_weak(key: str | bytes) -> bool:
    value = key.encode() if isinstance(key, str) else key
    return len(value) < _SHORTEST_KEY or value.lower() in _WELL_KNOWN_KEYS
