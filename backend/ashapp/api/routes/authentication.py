# SPDX-License-Identifier: MIT
"""Authentication with credentials of the path: for tests of clients. It protects nothing."""

from hmac import compare_digest
from typing import Annotated

from flask import abort, request

from ashapp.api.openapi.operations import Model, Routes
from ashapp.api.openapi.parameters import Value
from ashapp.api.problems import problem

__all__ = ["User", "basic_auth", "bearer", "routes"]

routes = Routes("Authentication", "Authentication with what stands in the path. It protects nothing.")

_WORD = r"^[0-9A-Za-z._~-]+$"


class User(Model):
    """Who a client says that it is."""

    authenticated: bool
    user: str | None


@routes.add("/basic-auth/<user>/<password>", security="basic")
def basic_auth(
    user: Annotated[str, Value("The user.", "me", pattern=_WORD, most_characters=100)],
    password: Annotated[str, Value("The password.", "secret", pattern=_WORD, most_characters=100)],
) -> User:
    """Ask for the user and the password of the path, by HTTP Basic authentication."""
    given = request.authorization
    expected = f"{user}:{password}"
    if given is None or given.type != "basic" or not _same(f"{given.username}:{given.password}", expected):
        challenge = _challenge("Basic", 'charset="UTF-8"')
        abort(problem(401, "The user and the password of the path are asked for.", challenge))
    return User(authenticated=True, user=user)


@routes.add("/bearer/<token>", security="bearer")
async def bearer(
    token: Annotated[str, Value("The token.", "open-sesame", pattern=_WORD, most_characters=100)],
) -> User:
    """Ask for the token of the path, as OAuth 2.0 does with bearer tokens (RFC 6750)."""
    given = request.authorization
    if given is None or given.type != "bearer":
        abort(problem(401, "The token of the path is asked for.", _challenge("Bearer")))
    if not _same(given.token or "", token):
        challenge = _challenge("Bearer", 'error="invalid_token"')
        abort(problem(401, "The token is not that of the path.", challenge))
    return User(authenticated=True, user=None)


def _same(given: str, expected: str) -> bool:
    return compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _challenge(scheme: str, *more: str) -> list[tuple[str, str]]:
    fields = ", ".join(['realm="ashapp"', *more])
    return [("WWW-Authenticate", f"{scheme} {fields}")]
