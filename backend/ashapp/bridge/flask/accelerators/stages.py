# SPDX-License-Identifier: MIT
"""Which stages of Flask's dispatch have nothing to do for an application, and need not be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import appcontext_tearing_down, request_tearing_down

if TYPE_CHECKING:
    from flask.app import Flask

__all__ = ["nothing_after_context", "nothing_after_request", "nothing_before"]


def nothing_before(app: Flask) -> bool:
    """Say whether *app* has no function to be called before a view."""
    return not (app.before_request_funcs or app.url_value_preprocessors)


def nothing_after_request(app: Flask) -> bool:
    """Say whether *app* has no function to be called at the end of a request, and no receiver."""
    return not (app.teardown_request_funcs or request_tearing_down.receivers)


def nothing_after_context(app: Flask) -> bool:
    """Say whether *app* has no function to be called at the end of a context, and no receiver."""
    return not (app.teardown_appcontext_funcs or appcontext_tearing_down.receivers)
