# SPDX-License-Identifier: MIT
"""What faults can be asked for, and what is said of a request for one that can't."""

import json
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from werkzeug.routing import Map, MapAdapter, Rule

from ashapp.server.settings.explanations import allowed, message, shown, suggestion

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

_WORKER = "must be 'all', 'one' or the process id of a worker"

_EXAMPLES = "such as /users/<id> or /api/<path:rest>"


def _rule(text: str) -> str:
    try:
        _adapter(text)
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"must be a rule as Flask writes it, without converters of an application's own, {_EXAMPLES} "
            f"({error.args[0] if error.args else error})"
        ) from None
    return text


def _adapter(rule: str) -> MapAdapter:
    return Map([Rule(rule)], strict_slashes=False).bind("")


class Fault(BaseModel, defer_build=True):
    """What all faults have: how long they last, in seconds, and which workers have them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    kind: str
    duration: Annotated[float, Field(gt=0, le=3600)] = 60.0
    worker: Literal["all", "one"] | int = "all"
    new_workers: bool = False

    @model_validator(mode="after")
    def _is_for_all(self) -> Self:
        if self.new_workers and self.worker != "all":
            raise ValueError(f"new_workers = true goes with worker = 'all' only, not with {self.worker!r}")
        return self

    def __str__(self) -> str:
        """Return its kind and what has been asked of it, for the log."""
        told = self.model_dump(exclude={"kind", "duration", "worker", "new_workers"}, exclude_none=True)
        return " ".join([self.kind, *(f"{name}={value}" for name, value in told.items())])


class OfRequests(Fault, defer_build=True):
    """What faults of requests have: which share of them, and those of which rule; None for all."""

    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    route: Annotated[str, AfterValidator(_rule)] | None = None

    _paths: MapAdapter | None = None

    def model_post_init(self, _: object) -> None:
        """Compile the rule."""
        if self.route is not None:
            self._paths = _adapter(self.route)

    def concerns(self, path: str) -> bool:
        """Return whether requests for *path* are among them."""
        return self._paths is None or self._paths.test(path)


class Latency(OfRequests, defer_build=True):
    """Requests wait for *seconds*, and for up to *jitter* more, before the application gets them."""

    kind: Literal["latency"] = "latency"
    seconds: Annotated[float, Field(gt=0, le=60)]
    jitter: Annotated[float, Field(ge=0, le=60)] = 0.0


class Error(OfRequests, defer_build=True):
    """Requests are answered with *status*, and the application does not get them."""

    kind: Literal["error"] = "error"
    status: Annotated[int, Field(ge=400, le=599)] = 500


class Unready(Fault, defer_build=True):
    """The worker says that it is not ready, and serves."""

    kind: Literal["unready"] = "unready"


class Crash(Fault, defer_build=True):
    """The worker is gone at once, as if it had run out of memory."""

    kind: Literal["crash"] = "crash"


class Cpu(Fault, defer_build=True):
    """So many *threads* each keep a processor busy; they leave the interpreter to others."""

    kind: Literal["cpu"] = "cpu"
    threads: Annotated[int, Field(ge=1, le=64)] = 1


class Memory(Fault, defer_build=True):
    """The worker holds so many *mib* of memory more."""

    kind: Literal["memory"] = "memory"
    mib: Annotated[int, Field(ge=1, le=65536)]


class Block(Fault, defer_build=True):
    """The event loop does nothing else."""

    kind: Literal["block"] = "block"


#: The faults that there are, by the name of their kind.
KINDS: dict[str, type[Fault]] = {
    kind.model_fields["kind"].default: kind for kind in (Latency, Error, Unready, Crash, Cpu, Memory, Block)
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
        return KINDS[kind].model_validate(values)
    except ValidationError as error:
        lines = [_explain(details, KINDS[kind]) for details in error.errors(include_url=False)]
        raise ValueError("; ".join(dict.fromkeys(lines))) from None


def _explain(details: ErrorDetails, kind: type[Fault]) -> str:
    if not details["loc"]:
        return message(details)
    name = str(details["loc"][0])
    fields = kind.model_fields
    if details["type"] == "extra_forbidden":
        return f"{shown(name)} is none of {', '.join(fields)}{suggestion(name, fields)}"
    value = f"{name} is missing" if details["type"] == "missing" else f"{name} = {shown(details['input'])}"
    is_worker = name == "worker"  # of several types, each of which refuses the value
    return f"{value}: {_WORKER if is_worker else allowed(details, fields[name])}"
