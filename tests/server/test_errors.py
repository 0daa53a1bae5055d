# SPDX-License-Identifier: MIT
import json
from pathlib import Path

import pytest

from ashapp.server.errors import StartupError, describe


def test_it_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = StartupError("first\n  second")
    error.show()
    assert capsys.readouterr() == ("", "Error: first second\n")
    assert error.exit_code == 2


def test_the_line_of_the_applications_own_code_is_named() -> None:
    with pytest.raises(ValueError, match="Expecting") as caught:
        json.loads("{")
    text = describe(caught.value)
    assert text.startswith("JSONDecodeError: Expecting property name")
    assert f"({Path(__file__)}, line " in text


class Silent(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise LookupError


@pytest.mark.parametrize(
    ("error", "told"),
    [(RuntimeError(), "RuntimeError"), (Silent(), "Silent"), (ValueError("red"), "ValueError: RED")],
)
def test_what_an_error_can_tell_is_told_and_may_be_made_another_text(error: Exception, told: str) -> None:
    assert describe(error, str.upper) == told


def test_the_last_line_is_named_where_no_code_is_the_applications_own() -> None:
    with pytest.raises(ValueError, match="Expecting") as caught:
        json.loads("{")
    error = caught.value
    assert error.__traceback__ is not None
    text = describe(error.with_traceback(error.__traceback__.tb_next))
    assert "decoder.py, line " in text


def test_a_syntax_error_is_placed_where_it_is() -> None:
    with pytest.raises(SyntaxError) as caught:
        compile("x = (", "shop.py", "exec")
    assert describe(caught.value) == "SyntaxError: '(' was never closed (shop.py, line 1)"
