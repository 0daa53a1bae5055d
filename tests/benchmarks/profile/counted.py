# SPDX-License-Identifier: MIT
"""The application of the benchmark, and how often functions are called, in all threads and greenlets."""

import sys
import threading
from collections import Counter
from functools import cache
from types import CodeType, FrameType

from tests.benchmarks.profile.stages import REST, stage_of
from tests.benchmarks.servers.apps import app

__all__ = ["app"]

_calls: Counter[str] = Counter()


@app.get("/calls")
def calls() -> dict[str, int]:
    """Return the calls so far, by stage: of functions in Python, and each time that a coroutine goes on."""
    return dict(_calls)


@cache
def _stage(code: CodeType) -> str | None:
    return stage_of(code.co_filename, code.co_qualname)


def _count(frame: FrameType, event: str, _: object) -> None:
    if event == "call":
        caller: FrameType | None = frame
        while caller is not None and _stage(caller.f_code) is None:
            caller = caller.f_back
        _calls[(caller and _stage(caller.f_code)) or REST] += 1


threading.setprofile(_count)
sys.setprofile(_count)
