# SPDX-License-Identifier: MIT
from tests.benchmarks.profile.stages import REST, samples


def test_a_sample_belongs_to_the_innermost_stage_and_the_standard_library_to_its_caller() -> None:
    raw = (
        "thread (1): MainThread;run (asyncio/runners.py:118) 1\n"
        "thread (1): MainThread;__call__ (ashapp/bridge/wsgi.py:9);app (flask/app.py:3);"
        "dumps (json/__init__.py:2) 30\n"
        "<module> (<frozen runpy>:88);f (ashapp/bridge/wsgi.py:1) 4\n"
    )
    assert samples(raw) == {REST: 1, "Flask": 30, "bridge": 4}
