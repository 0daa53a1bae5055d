# SPDX-License-Identifier: MIT
"""What a call is at, whether it may be cancelled then, and what has ended it early. No I/O."""

from enum import Enum, IntEnum

__all__ = ["Ending", "Phase"]


class Phase(Enum):
    """What the application does for a request; and whether a cancellation may reach it where it waits.

    One that comes in a phase which may not be cancelled is kept. It is acted on in the next phase that may.
    """

    QUEUED = "it waits for a thread", False
    RUNNING = "hooks, the view or an error handler run", True
    UNWINDING = "a cancellation has left the view: what follows is its teardown", False
    TEARING_DOWN = "Flask tears down a context, that of the request or one that the view has left", False
    STARTED = "start_response has been called: what follows until the body is the teardown", False
    ITERATING = "the body is made", True
    COMPLETE = "the response is complete: what is behind the end of the body runs, and close()", False
    ENDED = "the application has done with the request", False

    def __init__(self, description: str, may_be_cancelled: bool) -> None:  # noqa: FBT001 - a table
        self.description = description
        self.may_be_cancelled = may_be_cancelled


class Ending(IntEnum):
    """Why nobody wants a response any more. Of two the greater one counts: it is what the server is told."""

    NONE = 0
    CLIENT_GONE = 1
    TIMED_OUT = 2
    CANCELLED = 3
