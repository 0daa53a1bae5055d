# SPDX-License-Identifier: MIT
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import FlaskGroup, ScriptInfo

from ashapp.server.cli import main, start
from ashapp.server.cli.dev import flask_dev
from ashapp.server.errors import StartupError
from ashapp.server.settings.model import REFERENCE_API, ServerSettings, Settings
from tests.support.process import run

Project = Callable[..., Path]


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Note what would be served instead of serving it."""
    settings: list[Settings] = []

    def run(given: Settings) -> int:
        settings.append(given)
        return 0

    monkeypatch.setattr(start, "run", run)
    return settings


def invoke(*args: str, command: click.Command = main.main, **options: Any) -> Result:
    return CliRunner().invoke(command, args, **options)


@pytest.mark.parametrize(
    ("args", "settings"),
    [
        (["serve"], {}),
        (["--port", "80"], {"port": 80}),
        (["-p", "80", "-w", "2"], {"port": 80, "workers": 2}),
        (["serve", "-b", ":80", "-b", "unix:/a"], {"bind": [":80", "unix:/a"]}),
        (["shop:app"], {"app": "shop:app"}),
        (["serve", "shop:app", "--port", "80"], {"app": "shop:app", "port": 80}),
        (["serve", "--port", "80", "shop:app"], {"app": "shop:app", "port": 80}),
        (["--reload"], {"reload": True}),
        (["--no-reload"], {"reload": False}),
        (["--supervisor"], {"supervisor": True}),
        (["--no-proxy-headers"], {"proxy_headers": False}),
        (["--no-access-log", "--use-colors"], {"access_log": False, "use_colors": True}),
        (["--header", "A: 1", "--header", "B: 2"], {"headers": [("A", "1"), ("B", "2")]}),
        (["--ws-per-message-deflate", "no"], {"ws_per_message_deflate": False}),
        (["--healthz-path", "off"], {"healthz_path": ""}),
    ],
)
def test_serve_is_the_command_where_none_is_named_and_hands_on_what_is_given(
    served: list[Settings], args: list[str], settings: dict[str, Any]
) -> None:
    assert invoke(*args).exit_code == 0
    (found,) = served
    defaults = {"app": REFERENCE_API, "port": 5000}
    assert {name: getattr(found, name) for name in {**defaults, **settings}} == {**defaults, **settings}
    # The management port is set for all tests.
    assert found.given - {"app", "management_port"} == settings.keys() - {"app"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--prot", "80"], "--port"),
        (["--port"], "requires an argument"),
        (["-k", "gevent"], "No such option '-k'. It is gunicorn's worker_class: one kind serves"),
        (["--port", "many"], "port = 'many' (--port): must be a whole number"),
        (["serve", "one", "two"], "unexpected extra argument"),
        (
            ["rotues"],
            "there is no command 'rotues', did you mean 'routes'? A module is served by 'ashapp serve",
        ),
        (["shop"], "there is no command 'shop': ashapp --help lists them"),
        (["run"], "there is no command 'run', did you mean 'dev'?"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(served: list[Settings], args: list[str], message: str) -> None:
    result = invoke(*args)
    (line,) = result.output.splitlines()
    assert (result.exit_code, served) == (2, [])
    assert line.startswith("Error: ")
    assert message in line


def test_a_secret_is_no_flag_and_the_help_page_has_sections() -> None:
    options = main.main.get_command(click.Context(main.main), "serve")
    assert options is not None
    names = {option.name for option in options.params} - {"target"}
    more = {"env_file", "limit_concurrency", "check", "print_config"}
    assert names == {*ServerSettings.fields, *more} - {"secret_key"}
    lines = invoke("serve", "--help", terminal_width=100).output.splitlines()
    sections = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert " ".join(sections) == (
        "Options: Listening: Process: Reloading: Workers: Stopping: Probes: Management: Limits and "
        "time-outs: Behind a proxy: HTTP: TLS: WebSocket: Logging:"
    )
    (port,) = [line for line in lines if " --port " in line]
    assert (
        " ".join(port.split()) == "-p, --port INTEGER Port to listen on; 0 takes a free one. [default: 5000]"
    )
    assert "ASHAPP_LOG_LEVEL" in "".join(lines)


@pytest.mark.parametrize(("pid", "code", "times"), [(1, None, 1), (1, 143, 0), (2, None, 1)])
def test_process_1_of_a_container_serves_in_a_child(
    monkeypatch: pytest.MonkeyPatch, served: list[Settings], pid: int, code: int | None, times: int
) -> None:
    monkeypatch.setattr("os.getpid", lambda: pid)
    monkeypatch.setattr(start, "below_init", lambda: code)
    assert invoke("shop:app").exit_code == (code or 0)
    assert len(served) == times


def test_the_version_names_what_it_runs_on() -> None:
    pattern = r"ashapp \d+\.\d+\.\S+ \(Python 3\.\S+, flask 3\.\S+, uvicorn 0\.\S+\)\n"
    assert re.fullmatch(pattern, invoke("--version").output)


def test_the_help_page_lists_the_commands(served: list[Settings]) -> None:
    commands = invoke("--help").output.partition("Commands:\n")[2]
    page = (Path(__file__).parents[3] / "docs/reference/commands.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `ashapp (\w+)", page, re.MULTILINE))
    listed = set(re.findall(r"^  (\w+)", commands, re.MULTILINE))
    assert listed == documented, "the table of docs/reference/commands.md has other commands"
    assert served == []


def test_without_a_command_there_is_help(served: list[Settings]) -> None:
    assert "Commands:" in invoke().output
    assert served == []


@pytest.mark.parametrize("word", ["shop", "shop.wsgi", "nosuch.py", "./shop", "nosuch:app"])
def test_a_target_is_told_from_a_command(project: Project, served: list[Settings], word: str) -> None:
    project(shop__wsgi="")
    assert invoke(word).exit_code == 0
    assert [settings.app for settings in served] == [word]


def test_check_is_a_command_of_the_group_too() -> None:
    result = invoke("check", "http", "nowhere", "--timeout", "1")
    assert result.exit_code == 2
    assert "'nowhere' is not a URL" in result.output


def test_the_start_can_be_checked_alone(project: Project) -> None:
    # Each in a process of its own: a start changes what all of its process has.
    folder = project(app="from flask import Flask; app = Flask('shop')", wrong="raise KeyError")
    result = run(["--check"], cwd=folder)
    assert (result.returncode, result.stdout) == (0, "ok: app.py can be served\n")
    assert result.stderr.startswith("Warning: app.py has no SECRET_KEY")
    assert run(["wrong", "--check"], cwd=folder).returncode == 2


def test_the_settings_are_listed_as_a_file_with_the_source_of_each(
    project: Project, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(app="")
    monkeypatch.setenv("ASHAPP_SECRET_KEY", "abcdefgh")
    monkeypatch.setenv("PORT", "8001")
    flags = ["-w", "2", "--drain-delay", "2m", "--header", "A: 1", "--mount", "/x=app:app"]
    flags += ["--bind", ":81", "--bind", "unix:a"]
    listed = invoke("serve", *flags, "--print-config").stdout
    sources = {
        " ".join(line.split("  # ")[0].split()): line.split("  # ")[-1] for line in listed.splitlines()
    }
    expected = {
        'app = "app.py"': "found here",
        "port = 8001": "PORT",
        "drain_delay = 120.0": "--drain-delay",
        "threads = 40": "default",
        'bind = [":81", "unix:a"]': "--bind",
        "# uds": "default",
        '# secret_key = "**********"': "ASHAPP_SECRET_KEY",
    }
    assert {line: sources.get(line) for line in expected} == expected
    (folder / "again.toml").write_text(listed)
    monkeypatch.delenv("PORT")
    assert invoke("serve", *flags).exit_code == 0
    assert invoke("serve", "--config", "again.toml").exit_code == 0
    first, again = ({**settings.values(), "config": 0, "port": 0, "headers": 0} for settings in served)
    assert first == again


@pytest.mark.parametrize(
    ("args", "variable", "port"),
    [([], "", 5000), ([], "a", 81), (["--env-file", "b"], "", 82), (["--env-file", "b"], "a", 82)],
)
def test_a_file_of_variables_is_read_before_the_settings(
    project: Project,
    served: list[Settings],
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    variable: str,
    port: int,
) -> None:
    folder = project()
    (folder / "a").write_text("ASHAPP_PORT=81\nASHAPP_THREADS=7\n")
    (folder / "b").write_text("ASHAPP_PORT=82\n")
    monkeypatch.setenv("ASHAPP_THREADS", "8")
    monkeypatch.setenv("ASHAPP_ENV_FILE", variable)
    assert invoke("serve", *args).exit_code == 0
    assert (served[0].port, served[0].threads) == (port, 8)


@pytest.mark.parametrize(("skip", "app"), [("", "shop"), ("1", "wsgi.py")])
def test_customary_files_of_variables_are_read_as_by_flask(
    project: Project, served: list[Settings], monkeypatch: pytest.MonkeyPatch, skip: str, app: str
) -> None:
    folder = project(wsgi="", sub__app="")
    (folder / ".env").write_text("FLASK_APP=shop\n")
    (folder / ".flaskenv").write_text("FLASK_APP=other\nASHAPP_THREADS=7\n")
    monkeypatch.setenv("FLASK_SKIP_DOTENV", skip)
    assert invoke("serve").exit_code == 0
    assert (served[0].app, served[0].threads) == (app, 40 if skip else 7)


def test_a_file_of_variables_that_can_not_be_read_is_told(project: Project, served: list[Settings]) -> None:
    (project(app="") / ".env").write_bytes(b"A=\xff\n")
    result = invoke("serve")
    assert (result.exit_code, served) == (2, [])
    assert result.output.startswith("Error: .env or .flaskenv can't be read")


@pytest.mark.parametrize(("level", "shown"), [("info", False), ("debug", True)])
def test_the_cause_of_a_refusal_is_shown_on_debug(
    monkeypatch: pytest.MonkeyPatch, level: str, *, shown: bool
) -> None:
    def run(settings: Settings) -> int:
        raise StartupError("importing failed") from KeyError("DATABASE_URL")

    monkeypatch.setattr(start, "run", run)
    result = invoke("serve", "--log-level", level)
    assert result.exit_code == 2
    assert ("KeyError: 'DATABASE_URL'" in result.output) is shown
    assert result.output.endswith("Error: importing failed\n")


def test_dev_has_its_own_defaults_and_one_process(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    monkeypatch.delenv("ASHAPP_MANAGEMENT_PORT")
    assert invoke("dev", "shop:app", "-p", "80", "--limit-max-requests", "9").exit_code == 0
    (found,) = served
    assert (found.debug, found.host, found.port, found.reload) == (True, "127.0.0.1", 80, True)
    assert (found.workers, found.supervisor, found.management_port) == (1, False, "off")
    lines = invoke("dev", "--help", terminal_width=100).output.splitlines()
    sections = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert sections == ["Options:", "Listening:", "Reloading:", "Logging:"]
    assert any("[default: 127.0.0.1]" in line for line in lines)


# -- as a command of Flask's


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
    environment = {"FLASK_SERVE_THREADS": "3"}
    options = {"obj": info, "env": environment, "auto_envvar_prefix": "FLASK_SERVE"}
    assert invoke("--port", "80", command=main.flask_serve, **options).exit_code == 0
    assert [(found.app, found.port, found.threads) for found in served] == [(app, 80, 3)]


@pytest.mark.parametrize(("files", "app"), [(["app", "wsgi"], "wsgi.py"), (["app"], "app.py")])
def test_flasks_customary_files_are_served(
    project: Project, served: list[Settings], files: list[str], app: str
) -> None:
    project(**dict.fromkeys(files, ""))
    assert invoke(command=main.flask_serve).exit_code == 0
    assert [settings.app for settings in served] == [app]


def test_flask_has_dev_too(served: list[Settings]) -> None:
    assert invoke(command=flask_dev, obj=ScriptInfo(app_import_path="shop")).exit_code == 0
    assert [(found.app, found.debug) for found in served] == [("shop", True)]


def test_flask_without_a_target_is_told_of(project: Project, served: list[Settings]) -> None:
    project()
    result = invoke(command=main.flask_serve)
    assert (result.exit_code, served) == (2, [])
    assert result.output.startswith("Error: no application is named: use 'flask --app'")


def test_flasks_target_wins_over_our_variable(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASHAPP_APP", "other:app")
    group = FlaskGroup()
    group.add_command(main.flask_serve)
    assert invoke("--app", "shop", "serve", command=group).exit_code == 0
    assert [settings.app for settings in served] == ["shop"]
