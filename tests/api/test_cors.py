# SPDX-License-Identifier: MIT
import pytest

from ashapp.api import create_app
from ashapp.testing import AsyncClient

ORIGIN = "https://shop.example"
ALLOWED = "https://shop.example, http://localhost:3000"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}


@pytest.mark.parametrize(
    ("configured", "origin", "allowed", "varies"),
    [
        (None, ORIGIN, None, False),
        ("", ORIGIN, None, False),
        (ALLOWED, ORIGIN, ORIGIN, True),
        (ALLOWED, "http://localhost:3000", "http://localhost:3000", True),
        (ALLOWED, "https://evil.example", None, True),
        (ALLOWED, "null", None, True),
        (ALLOWED, None, None, True),
        ("*", ORIGIN, "*", False),
    ],
)
@pytest.mark.parametrize("path", ["/version", "/nowhere", "/delay/x"])
def test_an_origin_that_is_allowed_may_read(
    configured: str | None, origin: str | None, allowed: str | None, path: str, *, varies: bool
) -> None:
    client = create_app({"ASHAPP_API_CORS_ORIGINS": configured}).test_client()
    response = client.get(path, headers={} if origin is None else {"Origin": origin})
    assert response.headers.get("Access-Control-Allow-Origin") == allowed
    assert ("Origin" in response.vary) is varies
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Access-Control-Allow-Methods" not in response.headers


@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, True), ("https://evil.example", False)])
def test_a_preflight_is_told_what_there_is(origin: str, *, allowed: bool) -> None:
    client = create_app({"ASHAPP_API_CORS_ORIGINS": ALLOWED}).test_client()
    response = client.options("/cookies/a", headers={"Origin": origin, **PREFLIGHT})
    methods = set(response.headers.get("Access-Control-Allow-Methods", "").split(", "))
    assert (methods == {"DELETE", "OPTIONS", "PUT"}) is allowed
    assert ("Access-Control-Max-Age" in response.headers) is allowed
    assert response.headers.get("Access-Control-Allow-Headers") == ("content-type" if allowed else None)


async def test_the_variable_counts_and_async_views_stay_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASHAPP_API_CORS_ORIGINS", "*")
    async with AsyncClient(create_app()) as client:
        response = await client.get("/place", headers={"Origin": ORIGIN})
    assert response.json()["place"] == "loop"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
