# SPDX-License-Identifier: MIT
import asyncio
import time

import pytest

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
