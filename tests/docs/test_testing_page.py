# SPDX-License-Identifier: MIT
"""What docs/testing.md shows: its snippets are a file of tests that pass."""

import sys
from pathlib import Path

from tests.support import process
from tests.support.page import Page

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
SETTINGS = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


def test_the_snippets_are_tests_that_pass(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(Page(PAGE).python(), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(SETTINGS, encoding="utf-8")
    done = process.run(command=(sys.executable, "-m", "pytest", "-q", "."), cwd=tmp_path)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
