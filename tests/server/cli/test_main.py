# SPDX-License-Identifier: MIT
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import FlaskGroup, ScriptInfo

from ashapp.server.cli import main
from ashapp.server.errors import StartupError
from ashapp.server.settings import REFERENCE_API, Settings

Project = Callable[..., Path]


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Note what would be served instead of serving it."""
    settings: list[Settings] = []

    def run(given: Settings) -> int:
        settings.append(given)
        return 0

    monkeypatch.setattr(main, "run", run)
    return settings


def invoke(*args: str, command: click.Command = main.main) -> Result:
    return CliRunner().invoke(command, args)


@pytest.mark.parametrize(
    ("args", "app", "port"),
    [
        ([], REFERENCE_API, 5000),
        (["serve"], REFERENCE_API, 5000),
        (["--port", "80"], REFERENCE_API, 80),
        (["serve", "shop:app", "--port", "80"], "shop:app", 80),
        (["serve", "--port", "80", "shop:app"], "shop:app", 80),
        (["shop:app"], "shop:app", 5000),
    ],
)
def test_serve_is_the_command_where_none_is_named(
    served: list[Settings], args: list[str], app: str, port: int
) -> None:
    assert invoke(*args).exit_code == 0
    assert [(settings.app, settings.port) for settings in served] == [(app, port)]


@pytest.mark.parametrize(("pid", "code", "times"), [(1, None, 1), (1, 143, 0), (2, None, 1)])
def test_process_1_of_a_container_serves_in_a_child(
    monkeypatch: pytest.MonkeyPatch, served: list[Settings], pid: int, code: int | None, times: int
) -> None:
    monkeypatch.setattr("os.getpid", lambda: pid)
    monkeypatch.setattr(main, "below_init", lambda: code)
    assert invoke("shop:app").exit_code == (code or 0)
    assert len(served) == times


def test_the_version_names_what_it_runs_on() -> None:
    pattern = r"ashapp \d+\.\d+\.\S+ \(Python 3\.\S+, flask 3\.\S+, uvicorn 0\.\S+\)\n"
    assert re.fullmatch(pattern, invoke("--version").output)


def test_the_help_page_lists_the_commands(served: list[Settings]) -> None:
    commands = invoke("--help").output.partition("Commands:\n")[2]
    assert re.findall(r"^  (\w+) ", commands, re.MULTILINE) == ["check", "routes", "serve"]
    assert served == []


def test_the_exit_code_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "run", lambda settings: 3)
    assert invoke("serve").exit_code == 3


def test_a_file_of_variables_is_read_before_the_settings(
    served: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".env"
    path.write_text("ASHAPP_PORT=81\nASHAPP_THREADS=7\n")
    monkeypatch.setenv("ASHAPP_THREADS", "8")
    monkeypatch.setenv("ASHAPP_ENV_FILE", str(path))
    assert invoke("serve").exit_code == 0
    assert (served[0].port, served[0].threads) == (81, 8)


@pytest.mark.parametrize(("level", "shown"), [("info", False), ("debug", True)])
def test_the_cause_of_a_refusal_is_shown_on_debug(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], level: str, *, shown: bool
) -> None:
    def run(settings: Settings) -> int:
        raise StartupError("importing failed") from KeyError("DATABASE_URL")

    monkeypatch.setattr(main, "run", run)
    result = invoke("serve", "--log-level", level)
    assert result.exit_code == 2
    assert ("KeyError: 'DATABASE_URL'" in result.output) is shown
    assert result.output.endswith("Error: importing failed\n")


def make_shop() -> Flask:
    return Flask("shop")


@pytest.mark.parametrize(
    ("info", "app"),
    [
        (ScriptInfo(app_import_path="shop:create_app()"), "shop:create_app()"),
        (ScriptInfo(create_app=make_shop), f"{__name__}:make_shop()"),
    ],
)
def test_flasks_own_target_is_served(served: list[Settings], info: ScriptInfo, app: str) -> None:
    result = CliRunner().invoke(main.flask_serve, ["--port", "80"], obj=info)
    assert result.exit_code == 0
    assert [(settings.app, settings.port) for settings in served] == [(app, 80)]


@pytest.mark.parametrize(("files", "app"), [(["app", "wsgi"], "wsgi.py"), (["app"], "app.py")])
def test_flasks_customary_files_are_served(
    project: Project, served: list[Settings], files: list[str], app: str
) -> None:
    project(**dict.fromkeys(files, ""))
    assert invoke(command=main.flask_serve).exit_code == 0
    assert [settings.app for settings in served] == [app]


def test_flask_without_a_target_is_told_of(project: Project, served: list[Settings]) -> None:
    project()
    result = invoke(command=main.flask_serve)
    assert result.exit_code == 2
    assert result.output.startswith("Error: no application is named: use 'flask --app'")
    assert served == []


def test_flasks_target_wins_over_our_variable(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASHAPP_APP", "other:app")
    group = FlaskGroup()
    group.add_command(main.flask_serve)
    assert CliRunner().invoke(group, ["--app", "shop", "serve"]).exit_code == 0
    assert [settings.app for settings in served] == ["shop"]


def test_a_spawned_worker_that_imports_the_command_does_not_run_it(served: list[Settings]) -> None:
    runpy.run_module("ashapp.__main__", run_name="__mp_main__")
    assert served == []


def test_check_is_a_command_of_the_group_too() -> None:
    result = invoke("check", "http", "nowhere", "--timeout", "1")
    assert result.exit_code == 1
    assert result.stderr == "failed: 'nowhere' is not a URL that begins with http:// or https://\n"
