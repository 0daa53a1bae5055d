# SPDX-License-Identifier: MIT
"""Tells the kind of a view: sync, async, class-based, or async behind a sync decorator."""

import inspect
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from itertools import accumulate
from types import AsyncGeneratorType, CodeType, FunctionType
from typing import Any

from flask.views import MethodView, http_method_funcs

from ashapp.bridge.messages.attributes import attribute_of

__all__ = [
    "ViewKind",
    "async_methods",
    "blueprints_of",
    "full_name_of",
    "is_async",
    "kind_of",
    "makes",
    "makes_coroutine",
    "name_of",
    "sync_decorators",
]

_HTTP_METHODS = sorted(name.lower() for name in http_method_funcs)


class ViewKind(StrEnum):
    """The kind of a view: some kinds look alike to Flask."""

    SYNC = "sync"
    ASYNC = "async"
    ASYNC_GENERATOR = "async generator"
    #: ``View.as_view()``: a sync function in front of the methods, which may be coroutine functions.
    CLASS_BASED = "class-based"
    #: A coroutine function behind a sync decorator that names it as ``__wrapped__`` (``functools.wraps``).
    DECORATED_ASYNC = "decorated async"
    #: An object whose ``__call__`` is a coroutine function.
    ASYNC_CALLABLE = "async callable"
    #: Flask's own view of a static folder.
    STATIC = "static"
    NONE = "none"


def is_async(function: Any) -> bool:
    """Say whether a call of *function* makes a coroutine or an async generator, as far as Flask sees."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def makes_coroutine(function: Callable[..., Any]) -> bool:
    """Say whether a call of *function* makes a coroutine, as far as Flask sees. Quick."""
    # A plain function without attributes is not marked as one.
    is_plain = type(function) is FunctionType and not function.__dict__
    if is_plain:
        return bool(function.__code__.co_flags & inspect.CO_COROUTINE)
    return inspect.iscoroutinefunction(function)


def kind_of(view: Callable[..., Any] | None) -> ViewKind:
    """Return the kind of *view*, a value of ``Flask.view_functions`` or None."""
    if view is None:
        return ViewKind.NONE
    if is_async(view):
        return ViewKind.ASYNC_GENERATOR if inspect.isasyncgenfunction(view) else ViewKind.ASYNC
    if attribute_of(view, "view_class") is not None:
        return ViewKind.CLASS_BASED
    if is_async(_unwrap(view)):
        return ViewKind.DECORATED_ASYNC
    if not inspect.isroutine(view) and is_async(attribute_of(type(view), "__call__")):
        return ViewKind.ASYNC_CALLABLE
    # Flask itself brings only the views of static folders.
    is_flasks = str(attribute_of(view, "__module__")).partition(".")[0] == "flask"
    return ViewKind.STATIC if is_flasks else ViewKind.SYNC


def blueprints_of(endpoint: str) -> Iterator[str]:
    """Iterate the names of the blueprints around *endpoint*: a nested name begins with the outer one."""
    return accumulate(endpoint.split(".")[:-1], "{}.{}".format)


def async_methods(view: Any) -> list[str]:
    """Return the names of the methods of a class-based *view* that are coroutine functions.

    Those of a ``MethodView`` are HTTP methods, in capitals. A coroutine function behind a decorator counts.
    """
    view_class = view.view_class
    is_by_method = isinstance(view_class, type) and issubclass(view_class, MethodView)
    http_methods = attribute_of(view_class, "methods") or () if is_by_method else ()
    names = {"dispatch_request": "dispatch_request", **{name.lower(): name for name in sorted(http_methods)}}
    return [shown for name, shown in names.items() if is_async(_unwrap(attribute_of(view_class, name)))]


def makes(view: Any, generator: AsyncGeneratorType[Any, Any]) -> bool:
    """Say whether *view*, decorated or not, is the ``async def`` with ``yield`` that has made *generator*."""
    view_class = attribute_of(view, "view_class")
    if view_class is not None:
        functions = [attribute_of(view_class, name) for name in ("dispatch_request", *_HTTP_METHODS)]
    else:
        functions = [view, attribute_of(type(view), "__call__")]
    codes = (attribute_of(_without_partials(_unwrap(function)), "__code__") for function in functions)
    return any(code is generator.ag_code for code in codes)


def sync_decorators(view: Callable[..., Any]) -> list[str]:
    """Return the names of the sync decorators in front of the coroutine in *view*, the outermost first."""
    names = []
    function: Any = view
    while not is_async(function) and attribute_of(function, "__wrapped__") is not None:
        names.append(_decorator_name(function))
        function = function.__wrapped__
    return names


def name_of(function: Any) -> str:
    """Return a name of *function* for people: its qualified name, or the name of its type."""
    function = _without_partials(function)
    return str(attribute_of(function, "__qualname__", type(function).__qualname__))


def full_name_of(function: Any) -> str:
    """Return the name of *function*, with the name of its module before it."""
    module = attribute_of(_without_partials(function), "__module__") or type(function).__module__
    return f"{module}.{name_of(function)}"


def _without_partials(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def _unwrap(function: Any) -> Any:
    seen = {id(None)}
    while not is_async(function) and id(function) not in seen:
        seen.add(id(function))
        function = attribute_of(function, "__wrapped__", function)
    return function


def _decorator_name(wrapper: Any) -> str:
    # functools.wraps gives the wrapper the names of the view; its code and its globals keep their own.
    code = attribute_of(wrapper, "__code__")
    if not isinstance(code, CodeType):
        return f"{type(wrapper).__module__}.{type(wrapper).__qualname__}"
    name, _, inner = code.co_qualname.rpartition(".<locals>.")
    module = attribute_of(wrapper, "__globals__", {}).get("__name__", wrapper.__module__)
    return f"{module}.{name.replace('.<locals>', '') or inner}"
