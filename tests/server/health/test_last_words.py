# SPDX-License-Identifier: MIT
import logging
import threading

import pytest

from ashapp.server.health import last_words
from tests.support.waiting import PATIENCE


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


def test_it_is_logged_where_there_are_no_more_threads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    last_words.log_stacks("It hangs")
    last_words.abandon_after(0)
    stacks, warning = caplog.messages
    assert stacks.startswith("It hangs. What its threads run:\n")
    assert warning.endswith("can't start new thread")
