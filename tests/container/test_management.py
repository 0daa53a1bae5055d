# SPDX-License-Identifier: MIT
"""The management port of the container."""

import httpx

from tests.container.engine import Container


def test_metrics(service: Container) -> None:
    httpx.get(f"{service.url()}/status/418", trust_env=False)
    response = httpx.get(f"{service.url(5001)}/metrics", trust_env=False)
    assert response.status_code == 200
    assert "ashapp_workers 1.0" in response.text
    assert 'http_route="/status/<code>"' in response.text


def test_readiness_in_detail(service: Container) -> None:
    response = httpx.get(f"{service.url(5001)}/readyz", trust_env=False)
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
