# SPDX-License-Identifier: MIT
"""URL converters that the application defines. They may block, so they must not run on the loop.

To know where a request runs, the bridge matches it on the loop. Werkzeug calls a converter only where the
rest of its rule fits the path. A converter that may block is guarded: a match on the loop that would call it
fails, and the request goes to a thread, where Flask matches it.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.routing.converters import DEFAULT_CONVERTERS

from ashapp.bridge.loop_or_thread.marks import is_nonblocking

__all__ = ["guard_converters", "may_block", "on_loop"]

T = TypeVar("T")

# Werkzeug's own converters. A subclass that only has another regular expression is as quick.
_QUICK = {BaseConverter.to_python, *(converter.to_python for converter in DEFAULT_CONVERTERS.values())}

_thread = threading.local()


class _MayBlockError(Exception):
    """A converter that may block would have been called on the loop."""


def may_block(rule: Rule) -> str | None:
    """Return the name of the first converter of *rule* that may block, or None."""
    converter = next(_converters_that_may_block(rule), None)
    if converter is None:
        return None
    names = (name for name, known in rule.map.converters.items() if known is type(converter))
    return next(names, type(converter).__qualname__)


def guard_converters(url_map: Map) -> bool:
    """Guard the converters in *url_map* that may block; say whether there are any."""
    converters = [
        converter for rule in url_map.iter_rules() for converter in _converters_that_may_block(rule)
    ]
    for converter in converters:
        if "to_python" not in vars(converter):
            vars(converter)["to_python"] = partial(_guarded, converter.to_python)
    return bool(converters)


def on_loop(match: Callable[..., T], /, *args: Any) -> T:
    """Call *match*, in which guarded converters raise."""
    _thread.on_loop = True
    try:
        return match(*args)
    finally:
        _thread.on_loop = False


def _converters_that_may_block(rule: Rule) -> Iterator[BaseConverter]:
    converters = rule._converters.values()  # noqa: SLF001 - see ``flask/patches.py``
    return (one for one in converters if type(one).to_python not in _QUICK and not is_nonblocking(one))


def _guarded(to_python: Callable[[str], Any], value: str) -> Any:
    if getattr(_thread, "on_loop", False):
        raise _MayBlockError(to_python)
    return to_python(value)
