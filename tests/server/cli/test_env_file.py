# SPDX-License-Identifier: MIT
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ashapp.server.cli.env_file import env_file_option, read_env_file
from ashapp.server.errors import StartupError


def test_the_variables_of_the_file_are_set_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".env"
    path.write_text("ASHAPP_PORT=81\nASHAPP_THREADS=7\n")
    monkeypatch.setenv("ASHAPP_THREADS", "8")
    read_env_file(str(path))
    assert (os.environ["ASHAPP_PORT"], os.environ["ASHAPP_THREADS"]) == ("81", "8")


def test_without_a_file_nothing_is_read() -> None:
    before = dict(os.environ)
    read_env_file(None)
    assert dict(os.environ) == before


def test_a_file_that_is_missing_is_told_of() -> None:
    with pytest.raises(StartupError, match=r"^env_file = 'nowhere': there is no such file$"):
        read_env_file("nowhere")


@pytest.mark.parametrize(
    ("args", "variable", "path"),
    [([], "", None), ([], "a", "a"), (["--env-file", "b"], "", "b"), (["--env-file", "b"], "a", "b")],
)
def test_the_file_is_named_by_a_flag_or_a_variable(args: list[str], variable: str, path: str | None) -> None:
    seen = []

    @click.command(params=[env_file_option()])
    def command(env_file: str | None) -> None:
        seen.append(env_file)

    assert CliRunner().invoke(command, args, env={"ASHAPP_ENV_FILE": variable}).exit_code == 0
    assert seen == [path]
