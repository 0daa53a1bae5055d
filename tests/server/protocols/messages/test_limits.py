# SPDX-License-Identifier: MIT
import math
from typing import Any

import pytest

from ashapp.server.protocols.messages.limits import ConnectionLimits

NEVER = {"head_seconds": math.inf, "body_seconds": math.inf, "send_seconds": math.inf}


@pytest.mark.parametrize(
    ("times", "interval"),
    [
        ({}, 1),
        (NEVER, 1),
        ({**NEVER, "send_seconds": 2}, 0.5),
        ({"body_seconds": 0.4}, 0.1),
        ({"stream_seconds": 0.8}, 0.2),
        ({"head_seconds": 0.1}, 0.05),
    ],
)
def test_a_look_is_taken_often_enough_for_the_shortest_time(times: dict[str, Any], interval: float) -> None:
    assert ConnectionLimits(**times).interval == interval


@pytest.mark.parametrize(
    ("rate", "seconds", "window"), [(240, 30, 7200), (0, 30, 1), (240, math.inf, math.inf)]
)
def test_a_client_must_send_something(rate: int, seconds: float, window: float) -> None:
    assert ConnectionLimits(body_rate=rate, body_seconds=seconds).body_window == window
