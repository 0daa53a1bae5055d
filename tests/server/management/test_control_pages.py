# SPDX-License-Identifier: MIT
import os
import signal
import threading
from typing import Any

import pytest

from ashapp.server.management import control_pages as pages
from ashapp.server.management.control_pages import Control, ControlPages
from tests.server.answer import Answer

SUPERVISED = "service is one process, without a supervisor"


def ask(control: Control | None, method: str, target: str) -> tuple[int, dict[str, Any]]:
    answer = Answer(ControlPages(None, control, 5), target, method)
    return answer.code, answer.content


@pytest.mark.parametrize(
    ("method", "target", "status", "detail"),
    [
        ("GET", "/", 404, "There are only /status, /stacks, /reload, /scale."),
        ("GET", "/reload", 405, "Use POST."),
        ("POST", "/status", 405, "Use GET."),
        ("POST", "/scale", 422, "workers = '': must be a whole number from 1 to 1000."),
        ("POST", "/scale?workers=0", 422, "workers = '0'"),
        ("POST", "/scale?workers=1001", 422, "workers = '1001'"),
        ("POST", "/scale?workers=two", 422, "workers = 'two'"),
        ("POST", "/scale?workers=%C2%B2", 422, "must be a whole number"),
    ],
)
def test_what_is_wrong_is_told(method: str, target: str, status: int, detail: str) -> None:
    found, content = ask(Control(2), method, target)
    assert found == status
    assert detail in content["detail"]


@pytest.mark.parametrize("target", ["/reload", "/scale?workers=2"])
def test_one_process_alone_has_no_workers(target: str) -> None:
    found, content = ask(None, "POST", target)
    assert found == 409
    assert SUPERVISED in content["detail"]


def test_a_supervisor_finds_the_number_of_workers_that_is_wanted() -> None:
    control = Control(2)
    assert ask(control, "POST", "/scale?workers=4") == (202, {"workers": 4, "before": 2})
    assert control.target == 4


def test_workers_are_replaced_as_by_sighup(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, signum: sent.append((pid, signum)))
    control = Control(2)
    control.pids = [1, 2]
    assert ask(control, "POST", "/reload") == (202, {"reloading": 2})
    assert sent == [(os.getpid(), signal.SIGHUP)]


def test_without_a_management_port_the_workers_are_named() -> None:
    control = Control(2)
    control.pids = [7]
    found, content = ask(control, "GET", "/status")
    assert (found, content["pid"], content["workers"]) == (200, os.getpid(), [{"pid": 7}])


def test_the_stacks_of_one_process_are_its_own() -> None:
    held = threading.Event()
    thread = threading.Thread(target=held.wait, name="held-up")
    thread.start()
    try:
        _, content = ask(None, "GET", "/stacks")
    finally:
        held.set()
        thread.join()
    assert "Thread held-up" in content["stacks"][str(os.getpid())]


def test_workers_are_asked_for_their_stacks_and_one_may_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_PATIENCE", 0.2)
    control = Control(2)
    control.pids = [1, 2]
    timer = threading.Timer(0.05, control.take_stacks, [1, "its stacks"])
    timer.start()
    _, content = ask(control, "GET", "/stacks")
    timer.join()
    assert control.version == 1
    assert content["stacks"]["1"] == "its stacks"
    assert "no answer" in content["stacks"]["2"]
