# SPDX-License-Identifier: MIT
import asyncio
import math
import time
from typing import Any

import pytest

from ashapp.server.protocols import ConnectionLimits
from ashapp.server.protocols.sweeper import Sweeper
from tests.support.waiting import PATIENCE


class Connection:
    """Notes for how long it has been looked after; stands for its transport, too."""

    def __init__(self, error: Exception | None = None) -> None:
        self.transport = self
        self.seconds = 0.0
        self.looked = asyncio.Event()
        self.aborted = False
        self._error = error

    def look(self, seconds: float) -> None:
        self.seconds += seconds
        self.looked.set()
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        self.aborted = True

    async def wait(self) -> None:
        self.looked.clear()
        await asyncio.wait_for(self.looked.wait(), PATIENCE)


async def test_only_a_portion_is_looked_at_in_one_go() -> None:
    sweeper, connections = Sweeper(asyncio.get_running_loop(), 0.05), [Connection() for _ in range(200)]
    for connection in connections:
        sweeper.add(connection)
    waiting = [asyncio.create_task(connection.wait()) for connection in connections]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert sum(connection.seconds > 0 for connection in connections) < 100
    await asyncio.gather(*waiting)


@pytest.mark.parametrize(
    ("name", "seconds", "interval"),
    [
        *((name, 0.4, 0.1) for name in ("head_seconds", "body_seconds", "send_seconds", "stream_seconds")),
        ("head_seconds", 600, 1),
        ("head_seconds", 0.1, 0.05),
    ],
)
def test_a_look_is_taken_often_enough_for_the_shortest_time(
    name: str, seconds: float, interval: float
) -> None:
    never: dict[str, Any] = {"head_seconds": math.inf, "body_seconds": math.inf, "send_seconds": math.inf}
    assert ConnectionLimits(**{**never, name: seconds}).interval == interval


async def test_a_loop_that_was_blocked_takes_it_for_one_interval() -> None:
    sweeper = Sweeper(asyncio.get_running_loop(), 0.01)
    connection = Connection()
    sweeper.add(connection)
    time.sleep(0.2)  # noqa: ASYNC251 - that is the point
    await connection.wait()
    assert connection.seconds == 0.01


async def test_a_connection_that_fails_does_not_harm_the_others(caplog: pytest.LogCaptureFixture) -> None:
    sweeper = Sweeper(asyncio.get_running_loop(), 0.01)
    bad, good = Connection(ValueError("oops")), Connection()
    sweeper.add(bad)
    sweeper.add(good)
    await good.wait()
    await good.wait()
    assert (bad.aborted, bad.seconds, good.aborted) == (True, 0.01, False)
    assert caplog.messages == ["A connection could not be looked after: aborted"]
