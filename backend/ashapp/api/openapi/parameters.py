# SPDX-License-Identifier: MIT
"""Parameters of an operation: pydantic validates them, and its schema of them is published.

A parameter is an argument of a view, annotated with its type and a ``Value``. It is in the path if the URL
rule names it, else in the query.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Annotated, Any, get_args, get_origin

from flask import request
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from werkzeug.exceptions import BadRequest

from ashapp.api.payload import parse_urlencoded

__all__ = ["Parameter", "Value", "allowed", "arguments", "parameters_of"]

_LONGEST_VALUE = 100

# A number is written as in JSON, as the published schema promises. Python would read more than that.
_SYNTAX = {
    int: re.compile(r"-?(0|[1-9][0-9]{0,17})"),
    float: re.compile(r"-?([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?"),
}


@dataclass(frozen=True)
class Value:
    """The meaning of a parameter, and the values that it takes.

    *least* and *most* bound a number. *most* may be the key of the application's configuration that has it.
    *pattern* and *most_characters* bound a text. *example* is one that works.
    """

    description: str
    example: Any
    least: float | None = None
    most: float | str | None = None
    pattern: str | None = None
    most_characters: int | None = None

    def within(self, config: Mapping[str, Any]) -> "Value":
        """Return this with the bound that *config* has, and an example within it."""
        if not isinstance(self.most, str):
            return self
        most = config[self.most]
        return replace(self, most=most, example=min(self.example, most))

    def adapter(self, kind: type) -> TypeAdapter[Any]:
        """Return what validates a value of the type *kind*, and has its schema."""
        field = Field(
            ge=self.least,
            le=self.most,
            pattern=self.pattern,
            max_length=self.most_characters,
            allow_inf_nan=None if kind is not float else False,
            description=self.description,
            examples=[self.example],
        )
        annotated: Any = Annotated[kind, field, BeforeValidator(partial(_written, kind))]
        return TypeAdapter(annotated)


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation in one application."""

    name: str
    where: str
    default: Any
    kind: type
    value: Value

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """The validator. It is made when it is first needed, as that takes some time."""
        return self.value.adapter(self.kind)

    @property
    def schema(self) -> dict[str, Any]:
        """The schema by which it is validated."""
        schema = self.adapter.json_schema()
        return schema if self.required else {**schema, "default": self.default}

    @property
    def required(self) -> bool:
        """Whether a request must have it."""
        return self.default is inspect.Parameter.empty

    def parse(self, texts: list[str]) -> Any:
        """Return the value that the client has given by *texts*, or the default for none.

        Raises:
            BadRequest: it is missing, given twice or not allowed.
        """
        if not texts and not self.required:
            return self.default
        if len(texts) != 1:
            raise BadRequest(f"The parameter {self.name} must be given once, not {len(texts)} times.")
        [text] = texts
        try:
            return self.adapter.validate_python(text)
        except ValidationError:
            shown = text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
            raise BadRequest(
                f"The parameter {self.name} must be {allowed(self.schema)}, not {shown!r}."
            ) from None


def parameters_of(view: Callable[..., Any], rule: str, config: Mapping[str, Any]) -> list[Parameter]:
    """Return the parameters of *view* at the URL *rule*, within the limits of *config*."""
    parameters = []
    for name, argument in inspect.signature(view, eval_str=True).parameters.items():
        if get_origin(argument.annotation) is not Annotated:
            continue
        kind, value = get_args(argument.annotation)
        value = value.within(config)
        default = argument.default
        if default is not inspect.Parameter.empty:
            default = min(default, value.most)
        where = "path" if re.search(rf"[<:]{name}>", rule) else "query"
        parameters.append(Parameter(name, where, default, kind, value))
    return parameters


def arguments(parameters: Iterable[Parameter], path: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that the current request has for *parameters*; *path* has those of the path.

    Raises:
        BadRequest: a value is missing or not allowed.
    """
    query = parse_urlencoded(request.query_string)
    return {
        each.name: each.parse([path[each.name]] if each.where == "path" else query.getlist(each.name))
        for each in parameters
    }


def allowed(schema: Mapping[str, Any]) -> str:
    """Say in words which values a *schema* of a parameter allows."""
    if schema["type"] == "string":
        most = f" of {schema['maxLength']} characters at most" if "maxLength" in schema else ""
        return f"text{most} that matches {schema['pattern']}" if "pattern" in schema else f"text{most}"
    kind = "a whole number" if schema["type"] == "integer" else "a decimal number"
    return f"{kind} from {schema['minimum']:g} to {_plain(schema['maximum'])}"


def _plain(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def _written(kind: type, text: Any) -> Any:
    syntax = _SYNTAX.get(kind)
    if syntax is not None and not syntax.fullmatch(text):
        raise ValueError(f"not written as a number: {text!r}")
    return text
