# SPDX-License-Identifier: MIT
"""A request that a server hands over without a task."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from ashapp.bridge.messages.types import Message, Scope

__all__ = ["Exchange"]


class Exchange(Protocol):
    """One HTTP request and its response, of a server that knows more than ASGI. On the loop.

    A task costs as much as all other work of such a server for a small request. So there is none as long as
    nothing waits on the loop: in most cases the response of a thread is complete, and ``answer`` sends it in
    one piece. Otherwise ``go_on`` makes the task, and from then on the request is like any other.
    """

    scope: Scope
    #: Called if the server needs a task for the request: the client has gone, or the server ends.
    need_task: Callable[[], None] | None

    def receive(self) -> Awaitable[Message]:
        """Receive a message; see "Receive Callable" of the ASGI specification for HTTP."""
        ...

    def send(self, message: Message) -> Awaitable[None]:
        """Send *message*; see "Send Callable" of the ASGI specification for HTTP."""
        ...

    def answer(self, head: Message, body: bytes) -> bool:
        """Send a whole response, which ends the request; say whether that was possible at once.

        *head* is the ``http.response.start`` message, with a list of fields that are valid. Where it has a
        Content-Length, that is the length of *body*.
        """
        ...

    def go_on(self, rest: Awaitable[None]) -> None:
        """Await *rest* in a task: the rest of the application's work for the request."""
        ...
