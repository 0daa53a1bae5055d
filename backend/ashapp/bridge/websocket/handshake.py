# SPDX-License-Identifier: MIT
"""The handshake of a WebSocket as a WSGI application sees it: a GET request for an upgrade. No I/O.

A ``websocket`` scope may lack header fields that RFC 6455, 4.1 asks of the client. Over HTTP/2 (RFC 8441)
there is no Upgrade and no key, and some servers remove the fields that they have handled. Libraries look for
all of them, so the missing ones are added. The extensions are removed: the server has agreed on them with the
client.
"""

import base64
import os

from ashapp.bridge.messages.types import Scope

__all__ = ["as_request"]

_SCHEMES = {"ws": "http", "wss": "https"}
# The fields of the handshake itself.
_OWN = frozenset({b"connection", b"upgrade", b"sec-websocket-extensions", b"sec-websocket-version"})


def as_request(scope: Scope) -> Scope:
    """Return the ``http`` scope of the request that opens the WebSocket of *scope*.

    Its scheme is http or https, for libraries compare it with ``Origin``. Werkzeug turns it into ws by the
    upgrade.
    """
    headers = [field for field in scope["headers"] if field[0].lower() not in _OWN]
    headers += [(b"connection", b"Upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]
    names = {name.lower() for name, _ in headers}
    if b"sec-websocket-key" not in names:
        headers.append((b"sec-websocket-key", base64.b64encode(os.urandom(16))))
    subprotocols = scope.get("subprotocols")
    if subprotocols and b"sec-websocket-protocol" not in names:
        headers.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode("latin-1")))
    if b"host" not in names and scope.get("server"):
        headers.append((b"host", _host(*scope["server"])))
    scheme = scope.get("scheme", "ws")
    return {
        **scope,
        "type": "http",
        "method": "GET",
        "http_version": "1.1",
        "scheme": _SCHEMES.get(scheme, scheme),
        "headers": headers,
    }


def _host(host: str, port: int | None) -> bytes:
    if port is None:  # the path of a Unix socket
        return b"localhost"
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}".encode("latin-1")
