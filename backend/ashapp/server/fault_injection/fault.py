# SPDX-License-Identifier: MIT
"""The kinds of faults, and the parser of a request for one."""

import json
import re
from functools import cached_property
from typing import Any, Literal

from werkzeug.routing import Map, MapAdapter, Rule

from ashapp.server.validation.kinds import FLAG, Kind, choice, number, text
from ashapp.server.validation.record import Record, Wrong, WrongValuesError, field, shown, suggestion

__all__ = [
    "KINDS",
    "Block",
    "Cpu",
    "Crash",
    "Error",
    "Fault",
    "Latency",
    "Memory",
    "OfRequests",
    "Unready",
    "parse",
]

_VARIABLE = re.compile(r"<[^>]*>")
_EXAMPLES = "such as /users/<id> or /api/<path:rest>"


def _rule(text: str) -> str:
    try:
        # Wrong arguments of a converter are noticed only when a path is matched.
        for value in ("1", "1.0"):
            _adapter(text).test(_VARIABLE.sub(value, text))
    except Exception as error:
        raise ValueError(
            f"must be a rule as Flask writes it, without converters of an application's own, {_EXAMPLES} "
            f"({error.args[0] if error.args else error})"
        ) from None
    return text


def _adapter(rule: str) -> MapAdapter:
    return Map([Rule(rule)], strict_slashes=False).bind("")


def _worker(value: Any) -> Any:
    if value not in {"all", "one"} if isinstance(value, str) else type(value) is not int:
        raise ValueError
    return value


_WORKER = Kind("must be 'all', 'one' or the process id of a worker", _worker)


class Fault(Record):
    """The keys of all faults: how long they last, in seconds, and which workers have them."""

    # A client writes JSON, which has numbers and truth values.
    _is_strict = True

    kind: str = field(text())
    duration: float = field(number(0, 3600, is_open=True, is_whole=False), 60.0)
    worker: Literal["all", "one"] | int = field(_WORKER, "all")
    new_workers: bool = field(FLAG, default=False)

    def _check(self) -> None:
        if self.new_workers and self.worker != "all":
            raise ValueError(f"new_workers = true goes with worker = 'all' only, not with {self.worker!r}")

    def __str__(self) -> str:
        """Return its kind and its keys, for the log."""
        own = {name: value for name, value in self.values().items() if name not in Fault.fields}
        return " ".join([self.kind, *(f"{name}={value}" for name, value in own.items() if value is not None)])


class OfRequests(Fault):
    """The keys of faults of requests: the share of requests, and their rule; None stands for all."""

    rate: float = field(number(0, 1, is_open=True, is_whole=False), 1.0)
    route: str | None = field(text(_rule), None)

    @cached_property
    def _paths(self) -> MapAdapter | None:
        return None if self.route is None else _adapter(self.route)

    def concerns(self, path: str) -> bool:
        """Return whether requests for *path* are among them."""
        return self._paths is None or self._paths.test(path)


class Latency(OfRequests):
    """Requests wait for *seconds*, and for up to *jitter* more, before the application gets them."""

    kind: Literal["latency"] = field(choice("latency"), "latency")
    seconds: float = field(number(0, 60, is_open=True, is_whole=False))
    jitter: float = field(number(0, 60, is_whole=False), 0.0)


class Error(OfRequests):
    """Requests are answered with *status*, and the application does not get them."""

    kind: Literal["error"] = field(choice("error"), "error")
    status: int = field(number(400, 599), 500)


class Unready(Fault):
    """The worker says that it is not ready, but still serves."""

    kind: Literal["unready"] = field(choice("unready"), "unready")


class Crash(Fault):
    """The worker is gone at once, as if it had run out of memory."""

    kind: Literal["crash"] = field(choice("crash"), "crash")


class Cpu(Fault):
    """Each of *threads* threads keeps a processor busy, without the interpreter's lock."""

    kind: Literal["cpu"] = field(choice("cpu"), "cpu")
    threads: int = field(number(1, 64), 1)


class Memory(Fault):
    """The worker holds *mib* more MiB of memory."""

    kind: Literal["memory"] = field(choice("memory"), "memory")
    mib: int = field(number(1, 65536))


class Block(Fault):
    """The event loop does nothing else."""

    kind: Literal["block"] = field(choice("block"), "block")


#: The classes of faults by the name of their kind.
KINDS: dict[str, type[Fault]] = {
    kind.fields["kind"].default: kind for kind in (Latency, Error, Unready, Crash, Cpu, Memory, Block)
}


def parse(text: bytes) -> Fault:
    """Return the fault that a JSON object asks for.

    Raises:
        ValueError: there is no such fault; the message names what is wrong, and what is allowed.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # of UnicodeDecodeError too
        raise ValueError(f"the body must be JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"the body is {shown(values)}: must be a JSON object")  # noqa: TRY004 - of a client
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind = {shown(kind)}: must be one of {', '.join(KINDS)}")
    try:
        return KINDS[kind](**values)
    except WrongValuesError as error:
        raise ValueError("; ".join(_explain(wrong, KINDS[kind]) for wrong in error.wrong)) from None


def _explain(wrong: Wrong, kind: type[Fault]) -> str:
    if wrong.reason is None:
        return f"{shown(wrong.name)} is none of {', '.join(kind.fields)}{suggestion(wrong.name, kind.fields)}"
    what = "is missing" if wrong.value is ... else f"= {shown(wrong.value)}"
    return f"{wrong.name} {what}: {wrong.reason}"
