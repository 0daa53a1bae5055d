# SPDX-License-Identifier: MIT
"""The types of ASGI (3.0) and WSGI (PEP 3333), and the interface by which a middleware gets notes."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any, Protocol

__all__ = [
    "INFO",
    "AsgiApplication",
    "Environ",
    "ExcInfo",
    "Message",
    "Receive",
    "RequestInfo",
    "Scope",
    "Send",
    "StartResponse",
    "WsgiApplication",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

Environ = dict[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
# Not spelled out: frameworks disagree on how the optional third argument is typed.
StartResponse = Callable[..., Callable[[bytes], object]]
WsgiApplication = Callable[[Environ, StartResponse], Iterable[bytes]]

#: The key of the scope under which a middleware leaves its ``RequestInfo``.
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
