# SPDX-License-Identifier: MIT
"""WebSockets (RFC 6455) of a WSGI application, over ASGI's ``websocket`` scopes."""
