# SPDX-License-Identifier: MIT
"""Decorators of views, as extensions have them."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import current_app

__all__ = ["ensured", "forgetful"]


def ensured(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator like those of Flask-Login and others, that run a view through ``ensure_sync``."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return current_app.ensure_sync(function)(*args, **kwargs)

    return call


def forgetful(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that was written before there were async views."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call
