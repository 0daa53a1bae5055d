# SPDX-License-Identifier: MIT
import logging
import threading
from typing import Any, NoReturn

import pytest

from ashapp.server.health import last_words
from tests.support.waiting import PATIENCE, until


class Exited(BaseException):
    pass


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []

    def leave(code: int) -> NoReturn:
        codes.append(code)
        raise Exited

    monkeypatch.setattr("os._exit", leave)
    return codes


def be_stuck(over: threading.Event) -> None:
    over.wait(PATIENCE)


def test_the_stack_of_each_other_thread_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    over = threading.Event()
    thread = threading.Thread(target=be_stuck, args=[over], name="the stuck one")
    thread.start()
    teller = threading.Thread(target=last_words.log_stacks, args=["It hangs"], name="the teller")
    teller.start()
    teller.join(PATIENCE)
    over.set()
    thread.join()
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    text = record.getMessage()
    assert text.startswith("It hangs. What its threads run:\n")
    _, _, of_thread = text.partition("Thread the stuck one, the innermost call last:\n")
    assert "in be_stuck\n    over.wait(PATIENCE)" in of_thread
    assert "Thread MainThread" in text
    assert "Thread the teller" not in text


def test_a_log_that_is_stuck_too_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(last_words, "_PATIENCE", 0.05)
    monkeypatch.setattr(last_words, "_log", type("Log", (), {"critical": lambda *_: be_stuck(over)}))
    last_words.log_stacks("It hangs")
    over.set()


def test_a_process_is_given_up_with_an_exit_code_of_its_own(
    exits: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Exited):
        last_words.abandon("It hangs")
    assert exits == [4]
    assert caplog.messages[0].startswith("It hangs")


def test_a_process_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: list[Any] = []
    monkeypatch.setattr(last_words, "abandon", reasons.append)
    timer = last_words.abandon_after(0.05)
    assert timer.daemon
    until(lambda: reasons)
    assert reasons == ["The process has not ended in the time that it has"]
