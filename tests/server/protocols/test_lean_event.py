# SPDX-License-Identifier: MIT
import asyncio
import sys

import pytest

from ashapp.server.protocols.lean_event import LeanEvent


async def test_it_wakes_all_who_wait() -> None:
    event = LeanEvent()
    waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not event.is_set()

    event.set()
    event.clear()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [True] * 3
    assert not event.is_set()


async def test_one_who_is_cancelled_waits_no_longer() -> None:
    event = LeanEvent()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(event.wait(), 0.01)

    waiting = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    event.set()
    assert await asyncio.wait_for(waiting, 5)


async def test_nobody_waits_where_it_is_set() -> None:
    event = LeanEvent(is_set=True)
    assert await event.wait()


def test_it_is_small() -> None:
    lean, usual = (sum(map(sys.getsizeof, vars(event).values())) for event in (LeanEvent(), asyncio.Event()))
    assert lean < usual / 5
