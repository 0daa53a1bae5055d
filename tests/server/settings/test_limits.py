# SPDX-License-Identifier: MIT
import math
from typing import Any

import pytest
from pydantic import ValidationError

from ashapp.server.protocols import ConnectionLimits
from ashapp.server.settings import ServerSettings, Settings


def settings(**values: Any) -> Settings:
    return ServerSettings(**values)


def test_the_defaults_are_those_of_a_connection() -> None:
    assert settings().connection_limits == ConnectionLimits()


def test_a_time_of_zero_is_any_time() -> None:
    limits = settings(timeout_head=0, timeout_body=0, timeout_send=0).connection_limits
    assert limits == ConnectionLimits(head_seconds=math.inf, body_seconds=math.inf, send_seconds=math.inf)


def test_each_limit_of_a_connection_can_be_set() -> None:
    given = {
        "limit_target": "100",
        "limit_fields": "2",
        "limit_head": "300",
        "timeout_head": "4",
        "timeout_body": "5",
        "min_body_rate": "6",
        "timeout_send": "7",
        "timeout_stream": "8",
    }
    assert settings(**given).connection_limits == ConnectionLimits(100, 2, 300, 4, 5, 6, 7, 8)


@pytest.mark.parametrize(
    ("values", "in_flight", "queued"),
    [
        ({}, 20_000, 200),
        ({"limit_in_flight": 50, "limit_queue": 5}, 50, 5),
        ({"limit_concurrency": 60}, 60, 200),
        ({"limit_concurrency": 60, "limit_in_flight": 60}, 60, 200),
    ],
)
def test_requests_are_bounded(values: dict[str, Any], in_flight: int, queued: int) -> None:
    limits = settings(**values).bridge_limits(threads=8)
    assert (limits["limit_in_flight"], limits["limit_queue"]) == (in_flight, queued)
    assert "limit_concurrency" not in settings(**values).uvicorn_config()


@pytest.mark.parametrize(("given", "size"), [("0", 0), (1000, 1000), ("20MiB", 20 << 20), ("1.5 kB", 1500)])
def test_a_size_may_have_a_unit(given: Any, size: int) -> None:
    assert settings(limit_body=given).limit_body == size


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"limit_concurrency": 5, "limit_in_flight": 6}, "another name of limit_in_flight"),
        ({"limit_target": 1000, "limit_head": 999}, "limit_target = 1000 is more than limit_head = 999"),
        ({"limit_queue": 0}, "limit_queue"),
        ({"limit_body": "much"}, "limit_body"),
        ({"limit_buffered": 0}, "limit_buffered"),
        ({"read_ahead": -1}, "read_ahead"),
        ({"timeout_head": "inf"}, "timeout_head"),
        ({"timeout_body": -1}, "timeout_body"),
    ],
)
def test_what_does_not_fit_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        settings(**values)
