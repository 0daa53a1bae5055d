# SPDX-License-Identifier: MIT
"""The command ``routes``."""

import contextlib
import sys

import click

from ashapp.server.assembly.placement import place_views
from ashapp.server.cli.options import ServeCommand, env_file_option, read_env_file, target_argument
from ashapp.server.discovery.targets import find_application
from ashapp.server.introspection.report import Report
from ashapp.server.introspection.tables import print_report
from ashapp.server.security.hardening import forbid_debug_variable
from ashapp.server.serving.announcements import NOTHING_NAMED
from ashapp.server.settings.loading import load

__all__ = ["routes"]

_EPILOG = """\
The JSON object has these members:

\b
target  as given
flask   whether it is a Flask application; else the lists are empty
reason  what keeps every async view off the loop, or null
routes  a list of objects, one for each rule:
    rule, endpoint
    domain         host or subdomain, or null
    methods        a list, empty for any
    view           the name of the function or class, or null
    kind           "sync", "async", "async generator", "class-based",
                   "decorated async", "async callable", "static", "none"
    async_methods  a list, for class-based views
    runs_on        "loop" or "thread"
    reason         why on a thread, or null
    own_loop       whether its coroutines have a loop of their own there
    held_by        hooks that let it hold a thread while it waits, if it
                   is on the loop: a list
    websocket      whether the rule is for WebSockets
hooks   a list of objects, one for each callable around the views:
    hook           "before_request", "after_request", "teardown_request",
                   "teardown_appcontext", "context_processor",
                   "url_value_preprocessor", "errorhandler", "signal"
    on             status or exception of an errorhandler, name of a
                   signal, or null
    name           the name of the function
    blueprint      its name, or null for the application
    kind           as for a view, or "nonblocking"
    runs_on        around an async view: "loop", "request_thread" (a thread that
                   the request has from then on), or "thread"
mounts  an object: the targets that are mounted, by the prefixes of their paths
tools   a list: what wraps the application and only passes on, by name
"""


@click.command(
    cls=ServeCommand,
    params=[target_argument(), env_file_option()],
    epilog=_EPILOG,
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of tables.")
def routes(app: str | None, env_file: str | None, *, as_json: bool) -> None:
    """Show where the code of TARGET runs.

    TARGET is found as by 'serve'. For each rule: its view, on the loop or on a thread, and the reason, or the
    hooks that let a view on the loop hold a thread while it waits. For each hook: where it runs around an
    async view.
    """
    read_env_file(env_file)
    settings = load({} if app is None else {"app": app})
    forbid_debug_variable()
    with contextlib.redirect_stdout(sys.stderr):  # what the application prints is no part of the answer
        found = find_application(settings.app)
        place_views(found, settings)
        if "app" not in settings.given:
            click.echo(NOTHING_NAMED)
        report = Report.of(found, settings.app, settings.mount or {})
    if as_json:
        click.echo(report.to_json())
    else:
        print_report(report)
