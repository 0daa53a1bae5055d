# SPDX-License-Identifier: MIT
import json
from typing import Any

import pytest

from ashapp.server.fault_injection.board import FaultBoard
from ashapp.server.fault_injection.fault import Cpu, Crash, Unready


def kinds(board: FaultBoard, pid: int) -> list[str]:
    return [each["fault"]["kind"] for each in json.loads(board.orders(pid))]


@pytest.mark.parametrize(
    ("asked", "told"),
    [({}, {7, 8}), ({"worker": "one"}, {7}), ({"worker": 8}, {8}), ({"new_workers": True}, {7, 8, 9})],
)
def test_a_fault_is_for_the_workers_that_serve_or_for_the_one_that_is_named(
    asked: dict[str, Any], told: set[int]
) -> None:
    board = FaultBoard()
    wanted = board.add(Cpu(**asked), [8, 7])
    assert {pid for pid in (7, 8, 9) if kinds(board, pid)} == told
    assert wanted.told()["workers"] == ("all" if asked.get("new_workers") else sorted(told))


@pytest.mark.parametrize(
    ("worker", "pids", "message"),
    [
        ("all", [], "no worker serves just now; try again"),
        (9, [8, 7], "worker = 9: must be 'all', 'one' or one of those that serve now: 7, 8"),
    ],
)
def test_a_fault_for_nobody_is_refused(worker: str | int, pids: list[int], message: str) -> None:
    board = FaultBoard()
    with pytest.raises(LookupError) as caught:
        board.add(Cpu(worker=worker), pids)
    assert caught.value.args == (message,)
    assert (board.wanted(), board.version) == ([], 0)


def test_faults_are_cleared_and_each_change_is_told() -> None:
    versions: list[int] = []
    board = FaultBoard()
    board.changed = lambda: versions.append(board.version)
    ids = [board.add(fault, [7]).id for fault in (Cpu(), Unready(), Crash())]
    assert [each.id for each in board.clear(ids[0], "999")] == ids[:1]
    assert kinds(board, 7) == ["unready", "crash"]
    assert [each.id for each in board.clear()] == ids[1:]
    assert (board.wanted(), versions) == ([], [1, 2, 3, 4, 5])


def test_a_fault_ends_with_its_time_or_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("ashapp.server.fault_injection.board.time.monotonic", lambda: now)
    board = FaultBoard()
    board.add(Cpu(duration=10), [7])
    board.add(Unready(duration=20), [7, 8])
    board.add(Crash(duration=30, new_workers=True), [7])
    now = 109.0
    assert [each.told()["seconds_left"] for each in board.wanted()] == [1, 11, 21]
    board.forget(7)
    assert [each.fault.kind for each in board.wanted()] == ["unready", "crash"]
    board.forget(8)
    assert [each.fault.kind for each in board.wanted()] == ["crash"]
    now = 130.0
    assert board.wanted() == []


def test_there_are_not_too_many() -> None:
    board = FaultBoard()
    for _ in range(32):
        board.add(Unready(), [7])
    with pytest.raises(OverflowError, match="there are 32 faults, the most there may be: clear some first"):
        board.add(Unready(), [7])
