# SPDX-License-Identifier: MIT
"""The last error responses, by route and status. No path is kept, and nothing secret."""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["RecentError", "RecentErrors"]

_MOST = 10


@dataclass(frozen=True)
class RecentError:
    """Answers with *status*: how many *times*, and the *time* of the last, in seconds since the epoch.

    *route* is the rule that was matched, empty for none; never the path, which clients make up.
    """

    route: str
    status: int
    time: float
    times: int = 1


class RecentErrors:
    """The last ten that differ, by route and status."""

    def __init__(self) -> None:
        # The oldest first.
        self._kept: dict[tuple[str, int], RecentError] = {}

    def note(self, error: RecentError) -> None:
        """Note an *error* that is newer than those before."""
        key = error.route, error.status
        before = self._kept.pop(key, None)
        times = error.times + (before.times if before is not None else 0)
        self._kept[key] = RecentError(error.route, error.status, error.time, times)
        if len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]

    def newest(self) -> list[RecentError]:
        """Return them, the newest first. From any thread."""
        return list(self._kept.values())[::-1]

    @classmethod
    def merge(cls, errors: Iterable[RecentError]) -> list[RecentError]:
        """Return the last ten of *errors*, of several workers, the newest first."""
        merged = cls()
        for error in sorted(errors, key=lambda error: error.time):
            merged.note(error)
        return merged.newest()
