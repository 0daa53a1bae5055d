# SPDX-License-Identifier: MIT
"""The workers of a service from round to round, as they start, serve, wear out, stall and die."""

import re
import signal

import pytest

from ashapp.server.supervisors.worker_process import Report
from tests.server.supervisors.stub_worker import Service

#: What happens, round by round, and how the workers are then: S(tarting), R(eady), D(raining), T (stalled),
#: A(borted) and K(illed). Two workers are ready before, unless a life begins with their start.
LIVES = {
    "a worker that serves ends the back-off": """
        starts            100 S  101 S
        dies 100 1        101 S  102 S      Worker 100 ended with exit code 1; another is started
        dies 101 1        102 S  103 S      Worker 101 ended with exit code 1; another is started
        dies 102 1        103 S  104 S      Worker 102 ended with exit code 1; another is started
        dies 103 1        104 S  105 S      Worker 103 ended with exit code 1; another is started
        dies 104 1        105 S             Worker 104 ended with exit code 1; another is started in 1 s
        ready 105         105 R  106 S
    """,
    "workers that have served are replaced at once however often they die": """
        dies 100 -9       101 R  102 S      Worker 100 ended with exit code -9; another is started
        ready 102         101 R  102 R
        dies 101 -9       102 R  103 S      Worker 101 ended with exit code -9; another is started
        ready 103         102 R  103 R
        dies 102 -9       103 R  104 S      Worker 102 ended with exit code -9; another is started
        ready 104         103 R  104 R
        dies 103 -9       104 R  105 S      Worker 103 ended with exit code -9; another is started
        ready 105         104 R  105 R
        dies 104 -9       105 R  106 S      another is started
    """,
    "it goes on without a worker that can't start any more": """
        dies 100 -9       101 R  102 S      Worker 100 ended with exit code -9; another is started
        dies 102 3        101 R  103 S      Worker 102 could not start; another is started
    """,
    "a replacement that says why it can't start leaves the old workers": """
        signal HUP        100 R  101 R  102 S
        refuses 102       100 R  101 R  102 S
        dies 102 2        100 R  101 R      no module      Worker 102 could not start; worker 100 goes on
    """,
    "SIGHUP replaces workers one by one, and none ends before another serves": """
        signal HUP        100 R  101 R  102 S
        waits             100 R  101 R  102 S
        ready 102         100 D  101 R  102 R
        waits             100 D  101 R  102 R
        dies 100 0        101 R  102 R  103 S
        ready 103         101 D  102 R  103 R
        dies 101 0        102 R  103 R
        waits             102 R  103 R
    """,
    "SIGHUP replaces many workers in two steps": """
        signal TTIN TTIN  100 R  101 R  102 S  103 S
        ready 102 103     100 R  101 R  102 R  103 R
        signal HUP        100 R  101 R  102 R  103 R  104 S  105 S
        ready 104         100 R  101 R  102 R  103 R  104 R  105 S
        ready 105         100 D  101 D  102 R  103 R  104 R  105 R
        dies 101 0        100 D  102 R  103 R  104 R  105 R
        dies 100 0        102 R  103 R  104 R  105 R  106 S  107 S
        dies 107 -9       102 R  103 R  104 R  105 R  106 S      Worker 107 ended
        ready 106         102 D  103 R  104 R  105 R  106 R
        dies 102 0        103 R  104 R  105 R  106 R  108 S
        ready 108         103 D  104 R  105 R  106 R  108 R
    """,
    "a new worker that stalls takes no place": """
        signal HUP TTIN   100 R  101 R  102 S  103 S  104 S
        ready 103         100 R  101 R  102 S  103 R  104 S
        stalls 103        100 R  101 R  102 S  103 T  104 S      worker 103 has not answered
        ready 102         100 D  101 R  102 R  103 T  104 S
        dies 103 -9       100 D  101 R  102 R  104 S
        dies 100 0        101 R  102 R  104 S  105 S
    """,
    "SIGHUP while workers start replaces these too, once": """
        starts            100 S  101 S
        signal HUP HUP    100 S  101 S
        ready 100         100 R  101 S  102 S
        ready 101         100 R  101 R  102 S
        ready 102         100 D  101 R  102 R
        dies 100 0        101 R  102 R  103 S
        ready 103         101 D  102 R  103 R
        dies 101 0        102 R  103 R
    """,
    "a replacement stays when what it replaces dies meanwhile": """
        signal HUP        100 R  101 R  102 S
        dies 100 -9       101 R  102 S      Worker 100 ended with exit code -9; another is started
        ready 102         101 R  102 R  103 S
    """,
    "a worker that dies before its turn is not replaced twice": """
        signal HUP        100 R  101 R  102 S
        dies 101 -9       100 R  102 S  103 S      Worker 101 ended with exit code -9; another is started
        ready 102 103     100 D  102 R  103 R
        dies 100 0        102 R  103 R
    """,
    "a worker that is worn is replaced once": """
        recycle 100       100 R  101 R  102 S
        recycle 100       100 R  101 R  102 S
        ready 102         100 D  101 R  102 R
        recycle 100       100 D  101 R  102 R
        dies 100 0        101 R  102 R
    """,
    "a worker that is stalled is replaced at once, and killed when its stacks are logged": """
        logged 100        100 R  101 R
        stalls 100        100 T  101 R  102 S      worker 100 has not answered for 5 s; it is killed
        logged 100        101 R  102 S
    """,
    "one that can't log its stacks is aborted, and then killed": """
        stalls 100        100 T  101 R  102 S      worker 100 has not answered for 5 s; it is killed
        late 100          100 A  101 R  102 S
        late 100          100 K  101 R  102 S
    """,
    "a worker that does not end is killed": """
        signal HUP        100 R  101 R  102 S
        ready 102         100 D  101 R  102 R
        late 100          100 K  101 R  102 R  103 S      Worker 100 takes too long to end; it is killed
    """,
    "a replacement waits for a process to be had": """
        lacks processes   100 R  101 R
        signal HUP        100 R  101 R      No worker can be started
        waits             100 R  101 R      No worker can be started
        has processes     100 R  101 R  102 S
        ready 102         100 D  101 R  102 R
        dies 100 0        101 R  102 R  103 S
    """,
    "workers are added and removed": """
        signal TTIN       100 R  101 R  102 S
        signal TTOU TTOU TTOU    100 R  101 D  102 S
        ready 102         100 R  101 D  102 D
    """,
    "a worker that has not served need not drain": """
        starts            100 S  101 S
        ready 100         100 R  101 S
        signal TERM       100 D  101 D
        signal TERM       100 D
    """,
}


def happens(service: Service, what: str) -> None:
    """Let that happen, and the supervisor act on it."""
    event, *words = what.split()
    if event == "signal":
        service.act(*(signal.Signals[f"SIG{word}"] for word in words))
        return
    if event in {"lacks", "has"}:
        service.failure = OSError("no processes") if event == "lacks" else None
    for worker in [each for each in service.started if str(each.pid) in words]:
        match event:
            case "dies":
                worker.end_with(int(words[1]))
            case "late":
                worker.deadline = 0
            case "stalls":
                worker.has_stalled = True
            case _:
                reports = {
                    "ready": (Report.READY, ""),
                    "refuses": (Report.REFUSED, "no module"),
                    "recycle": (Report.RECYCLE, "it has answered 9 requests"),
                    "logged": (Report.STACKS_LOGGED, ""),
                }
                worker.reported(*reports[event])
    service.act()


@pytest.mark.parametrize("life", LIVES)
def test_a_life(service: Service, caplog: pytest.LogCaptureFixture, life: str) -> None:
    if "starts" not in LIVES[life]:
        service.begin()
    for line in LIVES[life].strip().splitlines():
        what, *rest = re.split(r"  +", line.strip())
        states = [word for word in rest if re.fullmatch(r"\d+ [A-Z]", word)]
        caplog.clear()
        happens(service, what)
        letters = {"STALLED": "T"}
        found = {pid: letters.get(name, name[0]) for pid, name in service.states.items()}
        assert [f"{pid} {letter}" for pid, letter in sorted(found.items())] == states, line
        told = rest[len(states) :]
        assert len(caplog.messages) == len(told), line
        assert all(part in message for part, message in zip(told, caplog.messages, strict=True)), line
