# SPDX-License-Identifier: MIT
import asyncio
import threading

import pytest

from ashapp.server.system.interruption import Interruption
from tests.support.waiting import eventually


async def wait(events: list[str]) -> None:
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        events.append("cancelled")
        raise


async def test_what_is_not_interrupted_is_done() -> None:
    assert await Interruption().wait_for(asyncio.sleep(0))


async def test_an_interruption_from_a_thread_cancels_what_is_waited_for() -> None:
    events: list[str] = []
    interruption = Interruption()
    waiting = asyncio.create_task(interruption.wait_for(wait(events)))
    await asyncio.sleep(0)
    threading.Thread(target=interruption.come).start()
    await eventually(waiting.done)
    assert waiting.result() is False
    assert events == ["cancelled"]


async def test_an_interruption_that_has_come_before_counts() -> None:
    interruption = Interruption()
    interruption.come()
    assert not await interruption.wait_for(asyncio.sleep(600))


async def test_what_fails_fails() -> None:
    async def fail() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        await Interruption().wait_for(fail())


async def test_a_cancellation_is_no_interruption() -> None:
    waiting = asyncio.create_task(Interruption().wait_for(asyncio.sleep(600)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_an_interruption_after_the_work_has_no_effect() -> None:
    interruption = Interruption()
    assert await interruption.wait_for(asyncio.sleep(0))
    interruption.come()
    await asyncio.sleep(0)
