# SPDX-License-Identifier: MIT
import asyncio
import math

import pytest

from ashapp.bridge.admission import body_budget as budget_module
from ashapp.bridge.admission.body_budget import PROOF, Budget, Share
from tests.support.waiting import eventually

MIB = 1 << 20


class FakeMemory:
    """As much as it is said to be."""

    limit = None

    def __init__(self, left: float) -> None:
        self.bytes = left

    def left(self) -> float:
        return self.bytes


def budget_of(left: float, limit: int | None = None) -> tuple[Budget, FakeMemory]:
    memory = FakeMemory(left)
    budget = Budget(memory, lambda: None)  # type: ignore[arg-type]
    budget.limit = limit
    return budget, memory


def share(budget: Budget, size: int) -> Share:
    taken = Share(budget)
    taken.add(size)
    return taken


async def test_a_body_fits_where_memory_stands_what_may_become_of_it() -> None:
    budget, memory = budget_of(200 * MIB)
    assert budget.fits(50 * MIB), "there is no other"
    first = share(budget, MIB)
    assert budget.fits(2 * MIB)
    assert not budget.fits(3 * MIB)
    memory.bytes = 120 * MIB
    assert not budget.fits(MIB)
    first.end()
    assert budget.fits(50 * MIB)


async def test_workers_share_what_is_left() -> None:
    budget, _ = budget_of(200 * MIB)
    budget.processes = 2
    share(budget, MIB)
    assert not budget.fits(MIB)


async def test_a_limit_holds_whatever_is_left() -> None:
    budget, _ = budget_of(math.inf, limit=3 * MIB)
    first = share(budget, 2 * MIB)
    assert budget.fits(MIB)
    assert not budget.fits(MIB + 1)
    first.end()
    assert budget.fits(50 * MIB)


async def test_after_a_while_what_is_measured_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "_SETTLING", 0.01)
    changes = []
    budget, _ = budget_of(200 * MIB)
    budget.on_change = lambda: changes.append(1)
    kept = share(budget, 3 * MIB)
    assert not budget.fits(MIB)
    await eventually(lambda: budget.fits(MIB))
    assert changes
    assert (budget.kept, budget.fresh) == (3 * MIB, 0)
    kept.add(MIB)
    kept.settle()
    assert (budget.kept, budget.fresh) == (4 * MIB, 0)
    kept.add(MIB)
    kept.end()
    assert (budget.kept, budget.fresh) == (0, 0)


async def test_one_may_always_go_on_and_the_next_when_that_has_its_end() -> None:
    budget, _ = budget_of(60 * MIB)
    shares = [share(budget, MIB) for _ in range(3)]
    assert not any(one.may_grow() for one in shares)
    waiting = [asyncio.create_task(one.wait_for_growth()) for one in shares]
    await eventually(waiting[0].done)
    assert [one.may_grow() for one in shares] == [True, False, False]
    shares[0].add(20 * MIB)
    assert shares[0].may_grow()
    shares[0].end_growth()
    await asyncio.sleep(0)
    assert not waiting[1].done(), "the application has yet to do its work on the first"
    shares[0].settle()
    await eventually(waiting[1].done)
    assert not waiting[2].done()
    shares[1].end()
    await asyncio.gather(*waiting)
    for one in shares:
        one.end()
    assert budget.kept == 0


async def test_a_body_that_leaves_no_trace_streams_through() -> None:
    budget, memory = budget_of(100 * MIB)
    one = share(budget, PROOF)
    one.note_given(PROOF)
    assert one.streams
    one.add(50 * MIB)
    assert budget.kept == 0
    assert one.may_grow()
    # Until it does.
    memory.bytes -= 2 * MIB
    one.note_given(3 * PROOF)
    assert not one.streams
    assert budget.kept == 2 * MIB


async def test_one_that_waits_for_room_while_it_is_found_to_stream_goes_on() -> None:
    budget, _ = budget_of(60 * MIB)
    favoured, one = share(budget, MIB), share(budget, MIB)
    waiting = [asyncio.create_task(other.wait_for_growth()) for other in (favoured, one)]
    await eventually(waiting[0].done)
    one.note_given(PROOF)
    await waiting[1]
    assert one.may_grow()


async def test_one_that_is_kept_does_not() -> None:
    budget, memory = budget_of(100 * MIB)
    one = share(budget, 10 * MIB)
    for given in range(1, 10):
        memory.bytes -= MIB
        one.note_given(given * MIB)
        assert not one.streams


async def test_memory_that_others_give_back_proves_nothing() -> None:
    budget, memory = budget_of(100 * MIB)
    one = share(budget, 10 * MIB)
    memory.bytes += 40 * MIB
    one.note_given(MIB)
    memory.bytes -= MIB
    one.note_given(2 * MIB)
    assert not one.streams


async def test_where_nothing_is_known_of_memory_nothing_is_held_up() -> None:
    budget, _ = budget_of(math.inf)
    one = share(budget, 1 << 40)
    one.note_given(1 << 40)
    assert not one.streams
    assert budget.fits(1 << 40)
    assert one.may_grow()
