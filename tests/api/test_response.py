# SPDX-License-Identifier: MIT
from ashapp.api.response import ApiResponse


def test_protective_headers_are_defaults_that_a_view_may_override() -> None:
    response = ApiResponse("x", headers={"Cache-Control": "max-age=60"})
    assert response.headers.getlist("Cache-Control") == ["max-age=60"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_untyped_text_is_never_html() -> None:
    assert ApiResponse("<b>").content_type == "text/plain; charset=utf-8"
