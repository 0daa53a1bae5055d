# SPDX-License-Identifier: MIT
import threading

from ashapp.bridge.stacks import stack_of
from tests.support.waiting import PATIENCE


def test_the_stack_tells_files_lines_and_no_values() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def wait_here(password: str) -> None:
        entered.set()
        go_on.wait(PATIENCE)

    thread = threading.Thread(target=wait_here, args=["swordfish"])
    thread.start()
    assert entered.wait(PATIENCE)
    assert thread.ident is not None
    stack = stack_of(thread.ident)
    go_on.set()
    thread.join(PATIENCE)
    assert f'{__file__}", line ' in stack
    assert "in wait_here" in stack
    assert "swordfish" not in stack


def test_a_thread_that_has_ended_has_no_stack() -> None:
    assert stack_of(-1) == ""
