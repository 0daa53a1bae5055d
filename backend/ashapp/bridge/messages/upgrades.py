# SPDX-License-Identifier: MIT
"""Requests for another protocol, which are answered as if they had not asked (RFC 9110, 7.8)."""

from ashapp.bridge.messages.types import Message, Scope, Send

__all__ = ["IGNORED", "ending_upgrade"]

#: The key of the scope by which a server says that it has read a request for an upgrade as an ordinary one.
IGNORED = "ashapp.upgrade_ignored"

_CLOSE = (b"connection", b"close")


def ending_upgrade(scope: Scope, send: Send) -> Send:
    """Return *send*; or what ends the connection, where *scope* asks for another protocol.

    Some servers, uvicorn with httptools among them, take such a request to end with its head, though they do
    not take the protocol. Then its body comes as requests of their own, which a proxy in front has never seen
    (RFC 9112, 11.2). None of them is served if the first response is the last one.
    """
    if b"upgrade" not in dict(scope.get("headers", ())) or scope["http_version"] != "1.1" or IGNORED in scope:
        return send

    async def send_last(message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = [*message.get("headers", ())]
            message = {**message, "headers": fields if _CLOSE in fields else [*fields, _CLOSE]}
        await send(message)

    return send_last
