# SPDX-License-Identifier: MIT
"""Checks whether the methods of Flask and Werkzeug that a shortcut replaces are still the original ones.

They are known by a checksum of the names that their code uses. If a release uses other names, it does
something else there, and the shortcut is not taken. A subclass may override a method, an object may have its
own, and a tool may replace it in its class at any time. So a shortcut checks them again and again: for each
request, or for all that begin in one turn of the loop. A wrapper of wrapt equals the method that it wraps, so
methods are compared by their identity.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter, is_
from typing import Any
from zlib import crc32

from flask.app import Flask

from ashapp.bridge.loop_or_thread.hindrances import is_original

__all__ = ["AllOriginals", "AsReplaced", "Originals"]


class Originals:
    """The methods *names* of the class *owner*, if they have *checksum*; *defined_in* is their module."""

    def __init__(self, owner: type, names: str, checksum: int, defined_in: str = "") -> None:
        self.owner = owner
        self.names = names.split()
        is_own = all(is_original(owner, name, defined_in or owner.__module__) for name in self.names)
        #: Their checksum; None if a tool has replaced one of them already.
        self.checksum = _checksum(owner, self.names) if is_own else None
        #: Whether they have the known checksum.
        self.are_known = self.checksum == checksum
        #: The methods of *owner* at first.
        self.methods = [getattr(owner, name) for name in self.names] if is_own else []
        self._look = attrgetter(*self.names, *self.names[:1])  # of one name alone it makes no tuple

    def are_those_of(self, kind: type) -> bool:
        """Say whether the class *kind* has all of them unchanged."""
        return self.are_known and all(map(is_, self._look(kind), self.methods))


class AllOriginals:
    """The methods of several *groups*."""

    def __init__(self, *groups: Originals) -> None:
        self.groups = groups
        self._owners = [group.owner for group in groups for _ in group.names]
        self._names = [name for group in groups for name in group.names]
        self._expected = [method for group in groups for method in group.methods]
        #: Whether all have their known checksums.
        self.are_known = all(group.are_known for group in groups)

    def still_hold(self) -> bool:
        """Say whether each class has all of its methods unchanged."""
        return self.are_known and all(map(is_, map(getattr, self._owners, self._names), self._expected))


class AsReplaced:
    """The methods of *groups* on *app*: Flask's own, or *replacements* that the bridge has made of these."""

    def __init__(
        self, app: Flask, replacements: Mapping[str, Callable[..., Any]], *groups: Originals
    ) -> None:
        self._of_the_object = vars(app)
        self._names = [name for group in groups for name in group.names]
        self._expected = [*map(replacements.get, self._names)]
        #: Whether the application had no methods of its own, before.
        self.are_known = self._of_the_object.keys().isdisjoint(self._names) and all(
            group.are_those_of(type(app)) for group in groups
        )

    def still_hold(self) -> bool:
        """Say whether none of them is replaced on the object."""
        return all(map(is_, map(self._of_the_object.get, self._names), self._expected))


def _checksum(owner: type, names: list[str]) -> int:
    methods = [getattr(owner, name) for name in names]
    functions: list[Any] = [one.fget if isinstance(one, property) else one for one in methods]
    return crc32(repr([sorted(function.__code__.co_names) for function in functions]).encode())
