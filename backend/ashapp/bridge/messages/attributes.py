# SPDX-License-Identifier: MIT
"""Attributes of objects that an application made."""

from typing import Any

__all__ = ["attribute_of"]


def attribute_of(value: Any, name: str, default: Any = None) -> Any:
    """Return the attribute *name* of *value*, or *default* if reading it fails.

    A subclass may never have called the ``__init__`` of its base, and a ``__getattr__`` may raise anything:
    KeyError, for instance, in a dict whose keys are its attributes.
    """
    try:
        return getattr(value, name, default)
    except Exception:
        return default
