# SPDX-License-Identifier: MIT
import click
import pytest
from gunicorn.config import KNOWN_SETTINGS  # type: ignore[import-untyped]

from ashapp.server.cli.options import SERVE_OPTIONS
from ashapp.server.gunicorn.familiar_options import what_is_here

#: What would be heard for an option of gunicorn's, of uvicorn's or of Flask's that is none of ours.
HABITS = [
    ("-k", "gunicorn's worker_class: one kind serves sync views on threads"),
    ("--worker-class", "gunicorn's worker_class: one kind serves"),
    ("--timeout", "gunicorn's timeout: no long request holds up a worker; `--request-timeout` answers"),
    ("--keep-alive", "gunicorn's keepalive: `--timeout-keep-alive`; longer than a proxy keeps"),
    ("--max-requests", "gunicorn's max_requests: `--limit-max-requests`"),
    ("--access-logfile", "gunicorn's accesslog: `--access-log`; on by default"),
    ("--preload", "gunicorn's preload_app: each worker imports the application"),
    ("--factory", "uvicorn's: "),
    ("--app", "Flask's: name the application as TARGET"),
    ("--colour", ""),
]


@pytest.mark.parametrize(("option", "told"), HABITS)
def test_an_option_of_another_server_is_told_of(option: str, told: str) -> None:
    assert what_is_here(option).startswith(told)
    assert bool(what_is_here(option)) is bool(told)


def test_each_option_of_gunicorn_is_ours_or_told_of() -> None:
    ours = {name for option in SERVE_OPTIONS if isinstance(option, click.Option) for name in option.opts}
    theirs = {name for setting in KNOWN_SETTINGS for name in setting.cli or ()}
    assert [name for name in sorted(theirs - ours) if not what_is_here(name)] == []
