# SPDX-License-Identifier: MIT
"""Attributes of objects that an application made: they may be missing, whatever the object's type promises.

A subclass may never have called the ``__init__`` of its base, and a ``__getattr__`` may raise what it likes:
KeyError, say, where the keys of a dict are its attributes.
"""

from typing import Any

__all__ = ["attribute_of"]


def attribute_of(value: Any, name: str, default: Any = None) -> Any:
    """Return the attribute *name* of *value*, or *default* if there is none to be had."""
    try:
        return getattr(value, name, default)
    except Exception:
        return default
