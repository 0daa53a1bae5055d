# SPDX-License-Identifier: MIT
"""Cross-origin requests of scripts in browsers (CORS, "CORS protocol" in the Fetch standard), if allowed.

Flask-CORS would do as well, but the bridge runs its hook on a thread, and the image would have one more
package for these few fields. Credentials are not allowed, so each allowed origin sees the same.
"""

from collections.abc import Iterable

from flask import Flask, Response, request

from ashapp.bridge import nonblocking

__all__ = ["allow_origins"]

_MAX_AGE = "600"


def allow_origins(app: Flask, origins: Iterable[str]) -> None:
    """Let scripts of pages from *origins*, such as ``https://shop.example``, read answers; ``*`` is any."""
    allowed = frozenset(origins)
    if not allowed:
        return

    @app.after_request
    @nonblocking
    def add_fields(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if "*" not in allowed:
            response.vary.add("Origin")
        if origin is None or allowed.isdisjoint({origin, "*"}):
            return response
        headers = response.headers
        headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
        headers["Access-Control-Expose-Headers"] = "*"
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            headers["Access-Control-Allow-Methods"] = headers.get("Allow", "")
            headers["Access-Control-Allow-Headers"] = request.headers.get(
                "Access-Control-Request-Headers", "*"
            )
            headers["Access-Control-Max-Age"] = _MAX_AGE
        return response
