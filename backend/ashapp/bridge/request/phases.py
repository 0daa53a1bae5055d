# SPDX-License-Identifier: MIT
"""The phases of a call, whether each may be cancelled, and the reasons of an early end. No I/O."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

__all__ = ["Ending", "Phase"]


class Phase:
    """What the application does for a request, and whether a cancellation may reach it.

    A cancellation in a phase that may not be cancelled is kept until the next phase that may be. Not an
    ``Enum``: a request asks for many members, and Python 3.11 takes six times as long to find these.
    """

    #: It waits for a thread.
    QUEUED: ClassVar[Phase]
    #: Hooks, the view or an error handler run.
    RUNNING: ClassVar[Phase]
    #: A cancellation has left the view: what follows is its teardown.
    UNWINDING: ClassVar[Phase]
    #: Flask tears down a context, that of the request or one that the view has left.
    TEARING_DOWN: ClassVar[Phase]
    #: ``start_response`` has been called: what follows until the body is the teardown.
    STARTED: ClassVar[Phase]
    #: The body is made.
    ITERATING: ClassVar[Phase]
    #: The response is complete, or its body has failed: what is behind its end runs, and ``close()``.
    COMPLETE: ClassVar[Phase]
    #: The application has done with the request.
    ENDED: ClassVar[Phase]

    def __init__(self, name: str) -> None:
        self.name = name
        self.may_be_cancelled = name in {"RUNNING", "ITERATING"}

    def __repr__(self) -> str:
        return f"Phase.{self.name}"


for _name in Phase.__annotations__:
    setattr(Phase, _name, Phase(_name))


class Ending(IntEnum):
    """Why the response is not wanted any more. The greater one of two reasons counts, for the server."""

    NONE = 0
    CLIENT_GONE = 1
    TIMED_OUT = 2
    CANCELLED = 3
