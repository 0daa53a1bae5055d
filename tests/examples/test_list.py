# SPDX-License-Identifier: MIT
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.examples.conftest import EXAMPLES, lines

FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/app.py"))


def test_the_page_lists_each_example() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`", page, re.MULTILINE) == [folder.name for folder in FOLDERS]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_example_is_tried_and_says_what_it_needs(folder: Path) -> None:
    assert (Path(__file__).parent / f"test_{folder.name}.py").exists()
    assert lines(folder)
    for line in (folder / "requirements.txt").read_text(encoding="utf-8").splitlines():
        bounds = {specifier.operator for specifier in Requirement(line).specifier}
        assert bounds == {">=", "<"}, f"{line}: expected a range"
