# SPDX-License-Identifier: MIT
"""What the examples of the reference API are answered with, where that is not 200."""

__all__ = ["status_of"]

_STATUSES = {
    "/status/{code}": 418,
    "/redirect/{count}": 302,
    "/basic-auth/{user}/{password}": 401,
    "/bearer/{token}": 401,
}


def status_of(method: str, path: str) -> int:
    """Return the status of the example at *path*, which has neither a body nor credentials."""
    return 415 if (method, path) == ("PUT", "/cookies/{name}") else _STATUSES.get(path, 200)
