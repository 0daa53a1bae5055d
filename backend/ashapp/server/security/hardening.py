# SPDX-License-Identifier: MIT
"""Hardens an application before it is served: no debug mode, no SECRET_KEY that can be guessed."""

import os
import sys
from collections.abc import Iterable

from flask.app import Flask
from flask.helpers import get_debug_flag

from ashapp.server.discovery.targets import is_asgi
from ashapp.server.errors import StartupError
from ashapp.server.security.layers import layers
from ashapp.server.security.secret_keys import SHORTEST_KEY, is_weak
from ashapp.server.settings.model import REFERENCE_API, Settings

__all__ = ["forbid_debug_variable", "harden"]

_DEBUG_IS_OFF = "{} sets debug, but 'serve' never runs in debug mode: it is off"


def forbid_debug_variable() -> list[str]:
    """Switch ``FLASK_DEBUG`` off for this process and its children; return a warning if it was on."""
    if not get_debug_flag():
        return []
    os.environ["FLASK_DEBUG"] = "0"
    return ["FLASK_DEBUG is set, but 'serve' never runs in debug mode: it is off"]


def harden(found: object, settings: Settings, mounted: Iterable[object] = ()) -> list[str]:
    """Harden an application, with all applications that are wrapped or mounted in it; return warnings.

    *mounted* are the applications beside it.

    A developer may have debug mode. The operator's SECRET_KEY is for the outermost application. Raises
    `StartupError` for Werkzeug's debugger and, in production, for a weak key, also an old one that is still
    accepted.
    """
    parts = [part for each in (found, *mounted) for part in layers(each)]
    if not settings.debug and any(map(_is_debugger, parts)):
        raise StartupError(
            f"{settings.app} has Werkzeug's debugger in it, which runs a visitor's code: remove it"
        )
    warnings: list[str] = []
    label, key = settings.app, settings.secret_key.text if settings.secret_key else None
    # The reference API has no use for sessions.
    needs_key = settings.app != REFERENCE_API
    for app in (part for part in parts if isinstance(part, Flask)):
        label = label or f"{app.name!r} within {settings.app}"
        warnings += [] if settings.debug else _forbid_debug(app, label)
        if app.secret_key or key or needs_key:
            warnings += _require_strong_key(app, label, settings, key)
        label, key, needs_key = "", None, False
    for other in () if settings.debug else filter(is_asgi, parts):
        if getattr(other, "debug", False) is True:  # Starlette's, and so FastAPI's
            other.debug = False  # type: ignore[attr-defined]
            warnings.append(_DEBUG_IS_OFF.format(f"{type(other).__name__} within {settings.app}"))
    return warnings


def _is_debugger(part: object) -> bool:
    debug = sys.modules.get("werkzeug.debug")  # imported by an application that uses it
    return debug is not None and issubclass(type(part), debug.DebuggedApplication)


def _forbid_debug(app: Flask, label: str) -> list[str]:
    warnings = []
    if app.debug:
        app.debug = False
        warnings.append(_DEBUG_IS_OFF.format(label))
    if app.testing:
        warnings.append(f"{label} sets TESTING: exceptions go past Flask's error pages")
    return warnings


def _require_strong_key(app: Flask, label: str, settings: Settings, given: str | None = None) -> list[str]:
    """Return warnings about the SECRET_KEY of *app*; *given* replaces a missing and a weak one."""
    warnings = []
    if given is not None and (not app.secret_key or is_weak(app.secret_key)):
        if app.secret_key and not is_weak(given):
            warnings.append(f"the SECRET_KEY of {label} is weak: that of ASHAPP_SECRET_KEY is used instead")
        app.secret_key = given
    if not app.secret_key:
        return [f"{label} has no SECRET_KEY and can't use sessions; ASHAPP_SECRET_KEY[_FILE] sets one"]
    need = f"it must be at least {SHORTEST_KEY} bytes that nobody can guess"
    if is_weak(app.secret_key):
        complaint = (
            f"the SECRET_KEY of {label} is weak: {need}, as 'python -c \"import secrets; "
            "print(secrets.token_hex())\"' makes them; change it, or give one by ASHAPP_SECRET_KEY[_FILE], "
            "which takes its place"
        )
    elif any(map(is_weak, app.config.get("SECRET_KEY_FALLBACKS") or ())):
        which = f"one of the SECRET_KEY_FALLBACKS of {label}"
        complaint = f"{which} is weak: {need}; remove it from the application"
    else:
        return warnings
    if settings.environment == "production":
        raise StartupError(f"{complaint} (ASHAPP_ENVIRONMENT=development makes this a warning)")
    return [*warnings, complaint]
