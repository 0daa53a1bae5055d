# SPDX-License-Identifier: MIT
"""Tools that trace an application leave its async views on the loop, and their spans tell the truth."""

import json
import subprocess
import sys

import pytest

from tests.upstream.harness import traced


@pytest.mark.parametrize("name", traced.TOOLS)
def test_an_async_view_stays_on_the_loop_and_has_spans_of_its_length(name: str) -> None:
    command = [sys.executable, traced.__file__, name]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr
    told = json.loads(process.stdout.splitlines()[-1])

    assert (told["hindrance"], told["threads"]) == (None, 0)
    assert told["tools"] == [name.partition(" for ")[0]]
    spans = told["spans"]
    roots = [seconds for _, parent, seconds in spans if parent is None]
    inner = [(parent, seconds) for span, parent, seconds in spans if span == "inner"]
    assert len(roots) == len(inner) == 5
    assert min(*roots, *(seconds for _, seconds in inner)) >= 0.99 * traced.WAIT
    assert {parent for parent, _ in inner} <= {span for span, *_ in spans}
