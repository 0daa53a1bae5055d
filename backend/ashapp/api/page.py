# SPDX-License-Identifier: MIT
"""The card as a page: one response, with its style and its script in it, that loads nothing."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from flask import Response, make_response, render_template, url_for

__all__ = ["LONGEST", "page"]

#: Seconds for which a page watches at a time; then it asks again.
LONGEST = 600


def page(facts: Mapping[str, Any], figures: str) -> Response:
    """Return the page about *facts*, with *figures* as HTML; without any it is not live."""
    style = render_template("card.css")
    script = render_template("card.js") if figures else ""
    source = url_for("live", count=LONGEST)
    text = render_template("card.html", style=style, script=script, figures=figures, source=source, **facts)
    response = make_response(text)
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
