# SPDX-License-Identifier: MIT
"""URL converters of the application's own: they may block, and so are not to run on the loop.

To know where a request runs the bridge matches it, on the loop. Werkzeug calls the converters of those rules
only that fit the path. So one that may block is guarded: where a match on the loop would call it, the match
fails, and the request goes to a thread, where Flask matches it. Others are matched as if it were not there.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from werkzeug.routing import BaseConverter
from werkzeug.routing.converters import DEFAULT_CONVERTERS

from ashapp.bridge.placement.nonblocking import is_nonblocking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from werkzeug.routing import Map, Rule

__all__ = ["guard_converters", "may_block", "on_loop"]

T = TypeVar("T")

# What Werkzeug's own do with a value. A subclass may have a regular expression of its own all the same.
_QUICK = {BaseConverter.to_python, *(converter.to_python for converter in DEFAULT_CONVERTERS.values())}

_thread = threading.local()


class _MayBlockError(Exception):
    """A converter that may block would have been called on the loop."""


def may_block(rule: Rule) -> str | None:
    """Return the name of a converter of *rule* that is the application's own and not marked, or None."""
    for converter in _converters(rule):
        if _is_own(converter):
            names = [name for name, known in rule.map.converters.items() if known is type(converter)]
            return names[0] if names else type(converter).__qualname__
    return None


def guard_converters(url_map: Map) -> bool:
    """Guard the converters in *url_map* that may block; say whether there are any."""
    own = [
        converter for rule in url_map.iter_rules() for converter in _converters(rule) if _is_own(converter)
    ]
    for converter in own:
        if "to_python" not in vars(converter):
            vars(converter)["to_python"] = partial(_guarded, converter.to_python)
    return bool(own)


def on_loop(match: Callable[..., T], /, *args: Any) -> T:
    """Call *match*, in which guarded converters raise."""
    _thread.on_loop = True
    try:
        return match(*args)
    finally:
        _thread.on_loop = False


def _converters(rule: Rule) -> Iterable[BaseConverter]:
    # There is no public way to them.
    return rule._converters.values()  # noqa: SLF001


def _is_own(converter: BaseConverter) -> bool:
    return type(converter).to_python not in _QUICK and not is_nonblocking(converter)


def _guarded(to_python: Callable[[str], Any], value: str) -> Any:
    if getattr(_thread, "on_loop", False):
        raise _MayBlockError(to_python)
    return to_python(value)
