# SPDX-License-Identifier: MIT
"""Methods of Flask and Werkzeug as they bring them, told from those by which a tool has replaced them.

A tool may have done so before this package was imported, and with the name of the original. So what counts is
where a function was defined.
"""

import sys
from types import FunctionType
from typing import Any

__all__ = ["is_original"]


def is_original(owner: type, name: str, module: str) -> bool:
    """Say whether the method *name* of the class *owner* is the function that *module* defines."""
    method: Any = getattr(owner, name, None)
    return (
        type(method) is FunctionType
        and method.__globals__ is vars(sys.modules[module])
        and not hasattr(method, "__wrapped__")
    )
