# SPDX-License-Identifier: MIT
"""``readiness_check``: an application registers checks of the services that it needs.

Each process has a registry of its own. This module imports nothing else of the server, so an application may
use it under any server. Under other servers it does nothing.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

__all__ = ["DEFAULT_TIMEOUT", "Check", "readiness_check", "registered_checks"]

#: Seconds that a check may take.
DEFAULT_TIMEOUT = 2.0

F = TypeVar("F", bound=Callable[[], object])


class Check(NamedTuple):
    """A callable without arguments that fails by raising or by returning ``False``, sync or async."""

    name: str
    function: Callable[[], object]
    timeout: float


_checks: dict[str, Check] = {}


def readiness_check(name: str, *, timeout: float = DEFAULT_TIMEOUT) -> Callable[[F], F]:
    """Return a decorator that registers a function as the readiness check *name*.

    For example::

        @readiness_check("database", timeout=1)
        def database() -> None:
            engine.connect().close()

        readiness_check("cache")(cache.ping)

    The function takes no arguments. It fails by raising, by returning ``False``, and by taking more than
    *timeout* seconds. While it fails ``/readyz`` answers 503 with *name*, so that no requests are sent
    here; the management port tells why. An ``async def`` runs on the server's loop, any other
    function on a thread that serves no requests. It runs in the background every few seconds, however
    often ``/readyz`` is asked.

    There is one registry for each process. A name that is registered again replaces the one before, as when
    a factory of applications is called twice.

    Raises:
        ValueError: *name* is empty or *timeout* is not positive.
    """
    if not name:
        raise ValueError("a readiness check needs a name: it is what /readyz tells when it fails")
    if not timeout > 0:
        raise ValueError(f"readiness check {name!r}: timeout must be positive, not {timeout!r}")

    def register(function: F) -> F:
        _checks[name] = Check(name, function, timeout)
        return function

    return register


def registered_checks() -> Mapping[str, Check]:
    """Return the checks that are registered now, by name."""
    return dict(_checks)
