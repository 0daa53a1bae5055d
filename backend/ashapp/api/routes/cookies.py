# SPDX-License-Identifier: MIT
"""Cookies: set, listed, deleted."""

from typing import Annotated

from flask import Response, jsonify, request, url_for
from pydantic import Field

from ashapp.api.openapi.operations import Answer, Model, Routes
from ashapp.api.openapi.parameters import Value

__all__ = ["Cookie", "Cookies", "cookies", "delete_cookie", "routes", "set_cookie"]

routes = Routes("Cookies", "Cookies that this service has set; none of them is for scripts of a page.")

_NAME = Value("The name of the cookie.", "flavour", pattern=r"^[0-9A-Za-z_-]+$", most_characters=100)


class Cookie(Model):
    """The value of a cookie, and how many seconds it is kept: None for until the browser is closed."""

    # Its characters are escaped, some by four, and browsers take 4096 bytes.
    value: str = Field(max_length=500, pattern=r"^[ -~]*$", examples=["vanilla"])
    seconds: int | None = Field(None, ge=1, le=86_400)


class Cookies(Model):
    """The cookies of a client."""

    cookies: dict[str, str]


_SET = Answer(
    200, "The cookies that the client has now.", "application/json", Cookies, {"Set-Cookie": "The change."}
)


@routes.add("/cookies")
def cookies() -> Cookies:
    """Return the cookies that the client has sent."""
    return Cookies(cookies=dict(request.cookies))


@routes.add("/cookies/<name>", methods=("PUT",), answers=(_SET,))
def set_cookie(name: Annotated[str, _NAME], cookie: Cookie) -> Response:
    """Set a cookie, for the paths of cookies alone, from a body of JSON that is validated."""
    response = jsonify(cookies={**request.cookies, name: cookie.value})
    response.set_cookie(
        name,
        cookie.value,
        cookie.seconds,
        path=url_for("cookies"),
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )
    return response


@routes.add("/cookies/<name>", methods=("DELETE",), answers=(_SET,))
def delete_cookie(name: Annotated[str, _NAME]) -> Response:
    """Delete a cookie, also one that the client does not have."""
    response = jsonify(cookies={key: value for key, value in request.cookies.items() if key != name})
    response.delete_cookie(name, url_for("cookies"), secure=request.is_secure, httponly=True, samesite="Lax")
    return response
