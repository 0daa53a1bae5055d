# SPDX-License-Identifier: MIT
"""The hosts that the service answers for.

Without this list a client may name any host, and an application that makes links from the ``Host`` header, as
for a new password, would put that host into them.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from ashapp.bridge.messages.types import Scope

__all__ = ["AllowedHosts"]

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+?)\.?(?::[0-9]{0,5})?")


class AllowedHosts:
    """The hosts that match one of *patterns*: a name, or a name after a dot, with all below it."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = frozenset(patterns)
        self._is_allowed = lru_cache(maxsize=1024)(self._look_up)

    def allow(self, scope: Scope) -> bool:
        """Return whether the host that the request names is one of them."""
        hosts = [value for name, value in scope["headers"] if name == b"host"] or [b""]
        return all(map(self._is_allowed, hosts))

    def _look_up(self, host: bytes) -> bool:
        match = _HOST.fullmatch(host.decode("latin-1").lower())
        if match is None:
            return False
        # Of a.b.example: itself, then .a.b.example, .b.example and .example.
        parts = match[1].split(".")
        suffixes = (f".{'.'.join(parts[index:])}" for index in range(len(parts)))
        return not self._patterns.isdisjoint((match[1], *suffixes))
