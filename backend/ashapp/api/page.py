# SPDX-License-Identifier: MIT
"""Pages: each is one response with its style and its script in it, and loads nothing."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from flask import Response, make_response, render_template

__all__ = ["page"]


def page(name: str, facts: Mapping[str, Any], *, has_script: bool = False) -> Response:
    """Return the page of the template *name* about *facts*; its policy allows its own style and script alone.

    The template puts ``style`` and ``script`` into their elements as they are.
    """
    style = render_template(f"{name}.css")
    script = render_template(f"{name}.js") if has_script else ""
    response = make_response(render_template(f"{name}.html", style=style, script=script, **facts))
    response.mimetype = "text/html"
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src {_hash(style)}; img-src data:; "
        + (f"script-src {_hash(script)}; connect-src 'self'; " if script else "")
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return response


def _hash(text: str) -> str:
    """Return the source expression that allows *text* and no other (CSP level 3, section 2.3.1)."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
