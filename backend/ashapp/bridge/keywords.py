# SPDX-License-Identifier: MIT
"""Keywords that have been renamed: the old ones still work, and warn."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec

__all__ = ["renamed"]

P = ParamSpec("P")


def renamed(**new_names: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Return a decorator for an ``__init__``: it passes each old keyword on by its new name."""

    def decorate(init: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(init)
        def with_old_names(*args: Any, **options: Any) -> None:
            for old in new_names.keys() & options.keys():
                new = new_names[old]
                if new in options:
                    raise TypeError(f"{old} is the old name of {new}: give {new} alone")
                warnings.warn(f"{old} is called {new} now", DeprecationWarning, stacklevel=2)
                options[new] = options.pop(old)
            init(*args, **options)

        return with_old_names

    return decorate
