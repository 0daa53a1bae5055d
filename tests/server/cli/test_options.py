# SPDX-License-Identifier: MIT
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ashapp.server.cli.options import ServeCommand, env_file_option, given, serve_options
from ashapp.server.errors import StartupError
from ashapp.server.settings import ServerSettings


def parse(*args: str, **environment: str) -> dict[str, Any]:
    """Return what the command hands on as given on the command line."""
    caught: dict[str, Any] = {}

    @click.command(cls=ServeCommand, params=serve_options())
    @click.pass_context
    def serve(ctx: click.Context, /, **_: Any) -> None:
        caught.update(given(ctx))

    result = CliRunner().invoke(serve, args, env=environment, auto_envvar_prefix="FLASK_SERVE")
    if result.exit_code:
        raise StartupError(result.output)
    return caught


@pytest.mark.parametrize(
    ("args", "settings"),
    [
        ([], {}),
        (["--port", "80"], {"port": "80"}),
        (["--port", "many"], {"port": "many"}),
        (["--reload"], {"reload": True}),
        (["--no-reload"], {"reload": False}),
        (["--supervisor"], {"supervisor": True}),
        (["--no-proxy-headers"], {"proxy_headers": False}),
        (["--no-access-log", "--use-colors"], {"access_log": False, "use_colors": True}),
        (["--header", "A: 1", "--header", "B: 2"], {"headers": ("A: 1", "B: 2")}),
        (["--ws-per-message-deflate", "no"], {"ws_per_message_deflate": "no"}),
        (["--healthz-path", "off"], {"healthz_path": "off"}),
        (["--env-file", "x"], {}),
    ],
)
def test_only_what_is_given_is_handed_on_as_it_was_typed(args: list[str], settings: dict[str, Any]) -> None:
    assert parse(*args) == settings


def test_variables_of_flasks_command_line_count_as_flags() -> None:
    assert parse(FLASK_SERVE_PORT="80") == {"port": "80"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--prot", "80"], "--port"),
        (["--port"], "requires an argument"),
        (["one"], "unexpected extra argument"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(args: list[str], message: str) -> None:
    with pytest.raises(StartupError) as caught:
        parse(*args)
    assert caught.value.message.startswith("Error: ")
    assert "Usage" not in caught.value.message
    assert message in caught.value.message


def test_a_secret_is_no_flag() -> None:
    names = {option.name for option in serve_options()}
    assert names == {*ServerSettings.model_fields, "env_file", "limit_concurrency"} - {"app", "secret_key"}


def test_the_help_page_has_sections() -> None:
    result = CliRunner().invoke(click.Command("serve", params=serve_options()), ["--help"])
    assert result.exit_code == 0
    command = ServeCommand(name="serve", params=serve_options())
    lines = CliRunner().invoke(command, ["--help"], terminal_width=100).output.splitlines()
    sections = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert sections == [
        "Options:",
        "Listening:",
        "Reloading:",
        "Workers:",
        "Stopping:",
        "Probes:",
        "Management:",
        "Limits and time-outs:",
        "Behind a proxy:",
        "HTTP:",
        "TLS:",
        "WebSocket:",
        "Logging:",
    ]
    (port,) = [line for line in lines if line.strip().startswith("--port ")]
    text = "--port INTEGER Port to listen on; 0 takes a free one. [default: 5000]"
    assert " ".join(port.split()) == text
    assert "ASHAPP_LOG_LEVEL" in "".join(lines)


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
