# SPDX-License-Identifier: MIT
import io

import pytest

from ashapp.server.errors import StartupError


def test_it_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = StartupError("first\n  second")
    error.show()
    assert capsys.readouterr() == ("", "Error: first second\n")
    assert error.exit_code == 2


def test_it_can_be_shown_elsewhere() -> None:
    file = io.StringIO()
    StartupError("reason").show(file)
    assert file.getvalue() == "Error: reason\n"


@pytest.mark.parametrize(("level", "shown"), [("info", False), ("debug", True), ("trace", True)])
def test_the_cause_is_shown_to_those_who_debug(
    capsys: pytest.CaptureFixture[str], level: str, *, shown: bool
) -> None:
    error = StartupError("importing 'shop' failed")
    error.show_cause(level)
    assert capsys.readouterr().err == ""
    error.__cause__ = KeyError("price")
    error.show_cause(level)
    assert ("KeyError: 'price'" in capsys.readouterr().err) is shown
