# SPDX-License-Identifier: MIT
"""``threading.local`` for requests whose view runs on the loop: each has its own values.

Theory of operation. On the loop all requests share one thread. A plain ``threading.local`` would show the
values of one request to the others, and keep them after it: SQLAlchemy's ``scoped_session`` and the
connections of peewee and Django are such values. So ``isolate_thread_locals`` puts a subclass in its place.
In the context of such a request an object of that class has values that belong to the request, and end with
it and the tasks that it leaves. There is one set of values on the loop's thread, and one on each thread that
the bridge lends to the request: a value may belong to the thread that has made it, as a connection of SQLite
does. Everywhere else sync code sees the values of its thread, as usual.

The values are found by a context variable, which the tasks of a request have too. Another thread that has a
copy of the context (``asyncio.to_thread``) sees its own values.

It must be called before the application is imported: it applies to objects and subclasses that are made
later. ``ashapp serve`` does that.
"""

import threading
from _thread import _local, get_ident
from contextvars import ContextVar
from typing import Any, Self

__all__ = [
    "are_isolated",
    "isolate_thread_locals",
    "local",
    "mark_thread",
    "open_request_locals",
    "request_locals",
]

# By the thread, and then by the identity of the local. The local is kept, so that no other gets the same
# identity.
_Values = dict[int, dict[int, tuple["local", dict[str, Any]]]]

#: The values of ``threading.local`` objects for the request whose context is current.
request_locals: ContextVar[_Values | None] = ContextVar("ashapp_request_locals", default=None)

_thread = _local()
_UNSET = object()
_VALUES = property(doc="What ``__dict__`` is to who would replace it: read-only.")


class local(_local):  # noqa: N801 - the name that it replaces
    """A ``threading.local`` whose values belong to the request, if that runs on the loop."""

    __slots__ = ("_arguments",)
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        """Make a local; *args* are passed to ``__init__`` once for each thread and each request."""
        self = super().__new__(cls, *args, **kwargs)
        _ARGUMENTS.__set__(self, (args, kwargs))
        return self

    def __getattribute__(self, name: str) -> Any:
        values = _values_of(self)
        if values is None:
            return super().__getattribute__(name)
        if name == "__dict__":
            return values
        value = values.get(name, _UNSET)
        if value is _UNSET or _data_descriptor(type(self), name) is not None:
            return object.__getattribute__(self, name)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        values = _values_of(self)
        if values is None:
            super().__setattr__(name, value)
        elif (descriptor := _data_descriptor(type(self), name)) is not None:
            type(descriptor).__set__(descriptor, self, value)
        else:
            values[name] = value

    def __delattr__(self, name: str) -> None:
        values = _values_of(self)
        if values is None:
            super().__delattr__(name)
        elif (descriptor := _data_descriptor(type(self), name)) is not None:
            type(descriptor).__delete__(descriptor, self)
        elif name in values:
            del values[name]
        else:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self
            )


_ARGUMENTS: Any = vars(local)["_arguments"]


def isolate_thread_locals() -> bool:
    """Make each ``threading.local`` show requests whose view runs on the loop values of their own.

    To be called before the application, and what it uses, is imported. Returns False, and does nothing, where
    another tool has replaced ``threading.local`` already, as gevent does.
    """
    if threading.local is _local:
        threading.local = local
    return threading.local is local


def are_isolated() -> bool:
    """Say whether ``isolate_thread_locals`` has been called."""
    return threading.local is local


def open_request_locals() -> _Values | None:
    """Let the current context, that of a request, have no values yet; return them. On the loop's thread."""
    if not are_isolated():
        return None
    values: _Values = {get_ident(): {}}
    request_locals.set(values)
    return values


def mark_thread() -> None:
    """Let code on the current thread, in the context of a request, have the values of that request."""
    _thread.is_lent = True


def _values_of(self: local) -> dict[str, Any] | None:
    """Return the values of the current request for *self*; None if those of the thread count."""
    request = request_locals.get()
    if request is None:
        return None
    thread = get_ident()
    known = request.get(thread)
    if known is None:
        if not hasattr(_thread, "is_lent"):
            return None
        known = request[thread] = {}
    entry = known.get(id(self))
    if entry is not None:
        return entry[1]
    values: dict[str, Any] = {}
    known[id(self)] = (self, values)
    kind = type(self)
    if kind.__init__ is not object.__init__:
        args, kwargs = _ARGUMENTS.__get__(self)
        kind.__init__(self, *args, **kwargs)
    return values


def _data_descriptor(kind: type, name: str) -> Any:
    """Return what comes before the values of an instance of *kind* under that *name*, or None."""
    if name == "__dict__":
        return _VALUES
    for base in kind.__mro__:
        if name in vars(base):
            found = vars(base)[name]
            return found if hasattr(type(found), "__set__") else None
    return None
