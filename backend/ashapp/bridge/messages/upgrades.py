# SPDX-License-Identifier: MIT
"""Requests that ask for another protocol. They are answered without it (RFC 9110, 7.8)."""

from ashapp.bridge.messages.types import Message, Scope, Send

__all__ = ["IGNORED", "ending_upgrade"]

#: The key of the scope by which a server says that it has read a request for an upgrade as an ordinary one.
IGNORED = "ashapp.upgrade_ignored"

_CLOSE = (b"connection", b"close")


def ending_upgrade(scope: Scope, send: Send) -> Send:
    """Return *send*; if *scope* asks for another protocol, one that also ends the connection.

    Some servers, such as uvicorn with httptools, end such a request with its head, although they do not take
    the protocol. Its body then comes as further requests, which a proxy in front has never seen (RFC 9112,
    11.2). They are not served if the first response ends the connection.
    """
    if b"upgrade" not in dict(scope.get("headers", ())) or scope["http_version"] != "1.1" or IGNORED in scope:
        return send

    async def send_last(message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = [*message.get("headers", ())]
            message = {**message, "headers": fields if _CLOSE in fields else [*fields, _CLOSE]}
        await send(message)

    return send_last
