# SPDX-License-Identifier: MIT
import threading
import time

import pytest

from ashapp.observe.moment import Cpu, used_cpu
from tests.support.waiting import PATIENCE


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize("elsewhere", [True, False])
def test_processor_time_of_a_thread_is_told_from_that_of_the_others(*, elsewhere: bool) -> None:
    me = threading.get_ident()
    before = used_cpu(me)
    if elsewhere:
        thread = threading.Thread(target=work, args=(0.1,))
        thread.start()
        thread.join(PATIENCE)
    else:
        work(0.1)
    used = used_cpu(me).since(before)
    assert (used.others > used.loop) is elsewhere
    assert max(used.loop, used.others) >= 0.1


def test_where_the_system_does_not_tell_it_is_all_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "pthread_getcpuclockid")
    monkeypatch.setattr(time, "process_time", lambda: 3.0)
    assert used_cpu(threading.get_ident()) == Cpu(0.0, 3.0)
