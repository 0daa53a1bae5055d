# SPDX-License-Identifier: MIT
import pytest

from ashapp.observe.logs.printable import indented, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sold 1 € of 商品", "sold 1 € of 商品"),
        ("", ""),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x00\x7f\x9b\u2028\u202e\ud800", r"\x00\x7f\x9b\u2028\u202e\ud800"),
    ],
)
def test_what_can_not_be_printed_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_kept_is_kept() -> None:
    assert printable("a\nb\r", "\n") == "a\nb\\r"


def test_further_lines_are_indented() -> None:
    assert indented("a\nb\r\n\n") == "a\n    b\\r"
