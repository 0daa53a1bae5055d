# SPDX-License-Identifier: MIT
"""What docs/gunicorn.md shows."""

from pathlib import Path

import pytest

from ashapp.server.migration.settings_file import read_gunicorn_file, settings_file
from tests.support.page import Page

PAGE = Page(Path(__file__).parents[2] / "docs" / "gunicorn.md")


def test_the_settings_file_is_the_one_that_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section = PAGE.sections["The settings file"]
    file = Path("gunicorn.conf.py")
    file.write_text(*section.of("python"))
    assert (
        settings_file(read_gunicorn_file(file), str(file)).splitlines() == section.of("toml")[0].splitlines()
    )
