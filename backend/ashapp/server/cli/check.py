# SPDX-License-Identifier: MIT
"""``ashapp check``: probe a service from inside its own container, where there is no curl.

It runs every few seconds, beside a service that may be busy. So only what one request needs is imported:
neither Flask nor the model of the settings. It exits with 0 or 1, and with 2 where it is used wrongly.
"""

import argparse
import contextlib
import http.client
import sys
from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from ashapp.server.health.probing import target_of_service, target_of_url
from ashapp.server.settings.sources.durations import UNITS_TEXT, seconds_of

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run the command, write a line, and return the exit code: 0 if the answer is good, else 1."""
    options = _parser().parse_args(arguments)
    try:
        target = (
            target_of_url(options.url, options.timeout)
            if options.kind == "http"
            else target_of_service(options.kind, options.port, options.timeout)
        )
    except ValueError as error:
        return _fail(str(error))
    try:
        status, text = target.ask()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return _fail(f"{type(error).__name__}: {error} ({target.name})")
    line = f"{status} from {target.name}"
    # As the probes of Kubernetes have it.
    if 200 <= status < 400:
        print(f"ok: {line}")  # noqa: T201 - the command's output
        return 0
    return _fail(f"{line}: {text}")


def _fail(message: str, code: int = 1) -> int:
    print(f"failed: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201 - the command's output
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Tell what is wrong in one line."""
        sys.exit(_fail(f"{message} (ashapp check --help tells how to use it)", 2))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ashapp check",
        description="Probe a service: exit code 0 if it answers with a status from 200 to 399, else 1; "
        "2 for wrong usage.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="{ready,live,http}")
    for kind, text in (("ready", "whether it should get requests"), ("live", "whether it is alive")):
        kind_parser = kinds.add_parser(
            kind,
            help=f"ask the service of this container {text}",
            description=f"Ask {text}, at the address that the variables ASHAPP_* and PORT and the file of "
            "ASHAPP_CONFIG name. A service whose flags name another host is asked by 'check http'.",
        )
        kind_parser.add_argument("-p", "--port", type=_port, help="port of the service, if a flag names it")
    kinds.add_parser("http", help="ask a URL").add_argument("url", type=_url)
    for each in kinds.choices.values():
        each.add_argument(
            "--timeout", type=_seconds, default=3.0, metavar="DURATION", help="longest wait [default: 3s]"
        )
    return parser


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        found = seconds_of(text)
        return float(text) if found is None else found
    raise argparse.ArgumentTypeError(f"{text!r} must be in {UNITS_TEXT}")


def _url(text: str) -> SplitResult:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL that begins with http:// or https://")
    return url
