# SPDX-License-Identifier: MIT
"""What happened in an application, in order, and on which thread."""

import asyncio
import threading
from typing import Any, NamedTuple

__all__ = ["Entry", "Journal"]


class Entry(NamedTuple):
    """One thing that happened; ``on_loop`` says whether an event loop ran on its thread."""

    name: str
    value: Any
    thread: int
    on_loop: bool


class Journal:
    """Notes of hooks, views and the like, for the test to read."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, name: str, value: Any = None) -> None:
        """Write down that *name* happened, here and now."""
        on_loop = asyncio._get_running_loop() is not None
        self.entries.append(Entry(name, value, threading.get_ident(), on_loop))

    async def note_cancellation(self) -> None:
        """Wait until the task is cancelled, and write that down as "cancelled"."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.note("cancelled")
            raise

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Entry:
        """Return the only entry called *name*."""
        entries = [entry for entry in self.entries if entry.name == name]
        assert len(entries) == 1, f"{name}: {entries}"
        return entries[0]

    @property
    def names(self) -> list[str]:
        """The names of what happened, in order."""
        return [entry.name for entry in self.entries]

    @property
    def threads(self) -> set[int]:
        """The threads on which something happened, but for the loop's."""
        return {entry.thread for entry in self.entries if not entry.on_loop}

    def clear(self) -> None:
        self.entries.clear()
