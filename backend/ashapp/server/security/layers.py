# SPDX-License-Identifier: MIT
"""The layers of a WSGI application: itself, and all applications that are wrapped or mounted in it.

No standard says where a middleware keeps the application that it wraps. So every callable is looked at to
which a callable refers: by its attributes, closures, bound and partial arguments, and by the globals that a
function names. No code of the application is run.
"""

import contextlib
import gc
import inspect
from collections import deque
from collections.abc import Iterable, Iterator
from types import FunctionType
from typing import Any

from flask.app import Flask

from ashapp.bridge import WsgiToAsgi

__all__ = ["layers"]

# At most this many objects are looked at: what holds more is no layer.
_MOST = 10_000

_CONTAINERS = (dict, list, tuple, set, frozenset)


def layers(application: object) -> Iterator[object]:
    """Yield *application* and its layers from the outside in, down to Flask applications."""
    seen = {id(application)}
    waiting = deque([application])
    while waiting and len(seen) < _MOST:
        layer = waiting.popleft()
        if not issubclass(type(layer), _CONTAINERS):
            yield layer
        for part in _parts(layer):
            if id(part) not in seen and _may_be_layer(part):
                seen.add(id(part))
                waiting.append(part)


def _may_be_layer(part: object) -> bool:
    kind = type(part)
    if issubclass(kind, _CONTAINERS):
        return True
    return callable(part) and not issubclass(kind, type) and not inspect.isbuiltin(part)


def _parts(layer: Any) -> Iterable[object]:
    kind = type(layer)
    if issubclass(kind, Flask):  # its other attributes hold views and objects of extensions
        return [layer.wsgi_app]
    if issubclass(kind, WsgiToAsgi):
        return [layer.wsgi_application, *(mount.app for mount in layer.mounts.values())]
    if issubclass(kind, FunctionType):
        return _parts_of_function(layer)
    # A class may keep the wrapped application in a global that its method names, or in a closure.
    call = inspect.getattr_static(kind, "__call__", None)
    of_call = _parts_of_function(call) if isinstance(call, FunctionType) else ()
    return [*gc.get_referents(layer), *of_call]


def _parts_of_function(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # it is empty still
            yield cell.cell_contents
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from list(vars(function).values())
    for name in function.__code__.co_names:
        # Other functions that it calls are no layers, and would lead to the whole program.
        found = function.__globals__.get(name)
        if not isinstance(found, FunctionType):
            yield found
