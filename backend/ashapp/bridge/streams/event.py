# SPDX-License-Identifier: MIT
"""A server-sent event, and how it is written (HTML Living Standard, 9.2.6). No I/O."""

import math
import random
from dataclasses import dataclass
from typing import Any

import flask

__all__ = ["END", "HEARTBEAT", "LEAVE", "Event", "encode", "farewell"]

#: A comment: it says that the connection lives.
HEARTBEAT = b":\n\n"

#: These stand for an event: the source has ended; the stream has to leave.
END = object()
LEAVE = object()


@dataclass(frozen=True, slots=True)
class Event:
    """One event. *data* is text, or any other value, which is sent as JSON; None for no data.

    *event* is its type; None means "message". A client that comes back sends the last *id* that it has got as
    ``Last-Event-ID``. *retry* is how many seconds the client waits before it comes back.

    Raises:
        ValueError: *event* or *id* has a line break, or *id* a null character, or *retry* is negative or
            infinite.
    """

    data: Any = None
    event: str | None = None
    id: str | None = None
    retry: float | None = None

    def __post_init__(self) -> None:
        for name, text in (("event", self.event), ("id", self.id)):
            if text is not None and not {"\r", "\n", "\0"}.isdisjoint(text):
                raise ValueError(f"{name} = {text!r}: a line break or a null character can't be sent in it")
        if self.retry is not None and not 0 <= self.retry < math.inf:
            raise ValueError(f"retry = {self.retry!r}: expected seconds, 0 or more")

    def encode(self) -> bytes:
        """Return the event as it is sent.

        Raises:
            TypeError: the data can't be made JSON.
        """
        lines = [
            f"{name}: {text}" for name, text in (("event", self.event), ("id", self.id)) if text is not None
        ]
        if self.retry is not None:
            lines.append(f"retry: {round(self.retry * 1000)}")
        if self.data is not None:
            text = self.data if isinstance(self.data, str) else flask.json.dumps(self.data)
            text = text.replace("\r\n", "\n").replace("\r", "\n")
            lines += [f"data: {line}" for line in text.split("\n")]
        return ("\n".join(lines) + "\n\n").encode()


def encode(item: Any) -> bytes:
    """Return *item* as it is sent: an event, or the data of one."""
    return (item if isinstance(item, Event) else Event(item)).encode()


def farewell(seconds: float) -> bytes:
    """Return the field by which a client comes back at a random time within *seconds*, or one second."""
    return Event(retry=random.uniform(1.0, max(seconds, 1.0))).encode()  # noqa: S311 - no secret
