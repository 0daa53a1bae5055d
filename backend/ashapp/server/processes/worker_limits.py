# SPDX-License-Identifier: MIT
"""When a worker has served for long enough: by its requests, or by the memory that it holds."""

import random

from ashapp.server.settings import Settings
from ashapp.server.system.resources import resident_mib

__all__ = ["Recycling"]


class Recycling:
    """The limits of one worker. That of requests has a jitter of its own, so that not all end together."""

    def __init__(self, settings: Settings) -> None:
        self._memory = settings.limit_max_memory
        self._requests = settings.limit_max_requests
        if self._requests is not None:
            self._requests += random.randint(0, settings.limit_max_requests_jitter)  # noqa: S311 - no secret

    def reason(self, requests: int) -> str:
        """Return why the worker should be replaced after so many *requests*; empty if it should not."""
        if self._requests is not None and requests >= self._requests:
            return f"it has answered {requests} requests, of at most {self._requests}"
        if self._memory is not None and (held := resident_mib()) > self._memory:
            return f"it holds {held:.0f} MiB of memory, of at most {self._memory}"
        return ""
