# SPDX-License-Identifier: MIT
import platform

from tests.benchmarks.machine import facts, processor


def test_processor() -> None:
    assert processor("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t: a b\n") == "Some CPU @ 2 GHz"
    assert processor("processor\t: 0\nBogoMIPS\t: 50.00\n") == "unknown"


def test_facts_have_versions_and_do_not_name_the_machine() -> None:
    found = facts(["uvicorn"])
    assert found["Python"].endswith(platform.python_version())
    assert "uvicorn " in found["Versions"]
    assert "flask " in found["Versions"]
    assert set(found) == {"Python", "Processor", "Cores", "Load average before", "Versions"}
