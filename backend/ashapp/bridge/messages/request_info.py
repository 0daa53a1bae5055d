# SPDX-License-Identifier: MIT
"""What the bridge tells a middleware around it of a request: where it ran, how long it waited, which rule."""

from typing import Protocol

__all__ = ["INFO", "RequestInfo"]

#: The key of the scope under which a middleware leaves its notes.
INFO = "ashapp.notes"


class RequestInfo(Protocol):
    """An object of a middleware's own, for one request, that the bridge writes on."""

    #: "loop" or "thread": where the application runs.
    place: str | None
    #: Seconds that the request has waited for a thread.
    queued: float
    #: The rule that Flask has matched, such as ``/users/<int:id>``, and its endpoint; None for no match.
    route: str | None
    endpoint: str | None
    #: Whether the response has no body on purpose, in spite of its Content-Length: a proxy sends a file.
    handed_over: bool

    def bind(self) -> object:
        """Set context variables for the application: called in the context of the request, before all else.

        That context is otherwise empty, so what a middleware sets in its own is not seen by the application.
        """
