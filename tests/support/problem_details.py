# SPDX-License-Identifier: MIT
"""What every problem details answer (RFC 9457) must look like."""

from typing import Any

from werkzeug.test import TestResponse

__all__ = ["assert_problem"]


def assert_problem(response: TestResponse, status: int, *mentioned: str) -> dict[str, Any]:
    """Assert that the response is a complete problem whose detail mentions the given words; return it."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/problem+json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    body: dict[str, Any] = response.get_json()
    assert set(body) == {"type", "title", "status", "detail", "instance"}
    assert body["type"] == "about:blank"
    assert body["status"] == status
    assert body["title"]
    for words in mentioned:
        assert words in body["detail"]
    return body
