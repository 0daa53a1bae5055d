# SPDX-License-Identifier: MIT
"""What docs/faults.md says, against the faults that there are."""

import re
from pathlib import Path

import pytest

from ashapp.server.faults.fault import KINDS, Fault, parse
from tests.support.page import Page

PATH = Path(__file__).parents[2] / "docs" / "faults.md"
TEXT = PATH.read_text(encoding="utf-8")


def test_the_tables_have_all_kinds_and_their_keys() -> None:
    rows = re.findall(r"^\| `(\w+)` +\|.*\|(.*)\|$", TEXT.partition("These keys go with")[0], re.MULTILINE)
    told = {kind: re.findall(r"`(\w+)`", keys) for kind, keys in rows}
    common = {"kind", *re.findall(r"^\| `(\w+)`", TEXT.partition("These keys go with")[2], re.MULTILINE)}
    assert common == set(Fault.fields)
    assert {kind: set(keys) | common for kind, keys in told.items()} == {
        kind: set(model.fields) for kind, model in KINDS.items()
    }


@pytest.mark.parametrize("text", re.findall(r'\{"kind.*?\}', TEXT))
def test_the_faults_on_the_page_can_be_asked_for(text: str) -> None:
    parse(text.encode())


def test_there_is_a_command_to_ask_list_and_clear() -> None:
    (commands, *_) = Page(PATH).sections["Ask for a fault"].of("sh")
    assert [line.split()[0] for line in commands.splitlines()] == ["ashapp", "curl", "curl", "curl"]
