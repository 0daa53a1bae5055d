# SPDX-License-Identifier: MIT
"""Who is told to leave when the service drains, and when."""

import asyncio

from ashapp.bridge.admission.departures import Departures
from tests.support.waiting import eventually

DRAIN = 0.3


class Member:
    def __init__(self, *, has_begun: bool = True) -> None:
        self.has_begun = has_begun
        self.told: list[float] = []

    async def leave(self) -> None:
        self.told.append(asyncio.get_running_loop().time())


async def test_a_handshake_and_who_comes_late_have_the_time_of_the_drain() -> None:
    departures = Departures()
    first, second, handshake, late, gone = Member(), Member(), Member(has_begun=False), Member(), Member()
    departures.members |= {first, second, handshake}
    begin = asyncio.get_running_loop().time()
    departures.drain(DRAIN)
    assert not departures.is_over
    departures.members |= {late, gone}
    await asyncio.sleep(DRAIN / 6)
    departures.members.discard(gone)
    await eventually(lambda: departures.is_over and handshake.told and late.told)
    assert [len(member.told) for member in (first, second, handshake, late, gone)] == [1, 1, 1, 1, 0]
    early = min(first.told + second.told)
    assert early - begin < max(first.told + second.told) - begin < handshake.told[0] - begin
    assert handshake.told[0] - begin >= DRAIN - 0.01
