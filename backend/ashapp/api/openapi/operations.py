# SPDX-License-Identifier: MIT
"""Operations: views with their URL rules, methods, and further responses."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Flask, jsonify, request
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from ashapp.api.body import read_body
from ashapp.api.openapi.parameters import arguments, parameters_of
from ashapp.api.payload import parse_json
from ashapp.bridge import websocket

__all__ = ["ANY", "ANY_BODY", "BYTES", "Answer", "Endpoint", "Model", "Operation", "Routes"]

F = TypeVar("F", bound="Callable[..., Any]")

#: The methods of an operation that takes any.
ANY = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: The media types of a body that is taken as it is, and of one that is also taken apart.
BYTES = ("application/octet-stream",)
ANY_BODY = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
    *BYTES,
)


class Model(BaseModel):
    """A JSON object of a request or a response. Its schema is published, and validates requests."""

    model_config = ConfigDict(defer_build=True, extra="forbid")


@dataclass(frozen=True)
class Answer:
    """A response that the return annotation of a view does not tell.

    *status* may be a range, such as "2XX". *media_type* is None for no content. *model* describes JSON.
    """

    status: int | str
    description: str
    media_type: str | None = None
    model: type[Model] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """A *view* at a URL *rule*.

    *takes* names the media types of a body that the view reads by itself. *security* names the scheme of
    authentication. The view may also be the handler of a WebSocket.
    """

    view: Callable[..., Any]
    rule: str
    routes: "Routes"
    methods: tuple[str, ...]
    answers: tuple[Answer, ...] = ()
    takes: tuple[str, ...] = ()
    security: str | None = None
    is_websocket: bool = False

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.view) or "").partition("\n")[0]

    @property
    def description(self) -> str:
        """The rest of the docstring, as one paragraph."""
        return " ".join((inspect.getdoc(self.view) or "").partition("\n")[2].split())


class Routes:
    """Operations of one kind, which *tag* names and *description* describes."""

    def __init__(self, tag: str, description: str) -> None:
        self.tag = tag
        self.description = description
        self.operations: list[Operation] = []

    def add(  # noqa: PLR0913 - all but one by keyword
        self,
        rule: str,
        *,
        methods: tuple[str, ...] = ("GET",),
        answers: tuple[Answer, ...] = (),
        takes: tuple[str, ...] = (),
        security: str | None = None,
        is_websocket: bool = False,
    ) -> Callable[[F], F]:
        """Declare the decorated view an operation; see ``Operation``."""

        def decorate(view: F) -> F:
            self.operations.append(
                Operation(view, rule, self, methods, answers, takes, security, is_websocket)
            )
            return view

        return decorate


class Endpoint:
    """An *operation* as *app* has it, within the limits of its configuration."""

    def __init__(self, app: Flask, operation: Operation) -> None:
        self.operation = operation
        self.parameters = parameters_of(operation.view, operation.rule, app.config)
        annotations = inspect.get_annotations(operation.view, eval_str=True)
        result = annotations.pop("return", None)
        #: The models of the view's result and of its argument for the body, if it has any.
        self.result: type[Model] | None = result if _is_model(result) else None
        self.body: tuple[str, type[Model]] | None = next(
            ((name, each) for name, each in annotations.items() if _is_model(each)), None
        )
        if operation.is_websocket:
            handler = _with_arguments(operation.view, self._arguments)
            websocket(app, operation.rule, endpoint=self.name, max_size=64 * 1024)(handler)
        else:
            is_plain = not (self.parameters or self.body or self.result)
            view = operation.view if is_plain else _with_arguments(operation.view, self._arguments)
            app.add_url_rule(operation.rule, self.name, view, methods=operation.methods)

    @property
    def name(self) -> str:
        """The name of the view, which is also the name of Flask's endpoint."""
        return self.operation.view.__name__

    @property
    def path(self) -> str:
        """The path, with each argument in braces."""
        return self.operation.rule.replace("<", "{").replace(">", "}")

    @property
    def example(self) -> dict[str, Any]:
        """The arguments of the path in an example."""
        return {each.name: each.value.example for each in self.parameters if each.where == "path"}

    def _arguments(self, path: Mapping[str, str]) -> dict[str, Any]:
        values = arguments(self.parameters, path)
        if self.body is not None:
            name, model = self.body
            values[name] = _parse_body(model)
        return values


def _with_arguments(view: F, arguments_of: Callable[[Mapping[str, str]], dict[str, Any]]) -> F:
    """Return *view* so that it gets its arguments, made from those of the path. A model is answered as JSON.

    It is async if *view* is. The handler of a WebSocket has that before all arguments.
    """

    @wraps(view)
    def sync(*socket: Any, **path: str) -> Any:
        return _response(view(*socket, **arguments_of(path)))

    @wraps(view)
    async def on_loop(*socket: Any, **path: str) -> Any:
        return _response(await view(*socket, **arguments_of(path)))

    return cast("F", on_loop if inspect.iscoroutinefunction(view) else sync)


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Model)


def _response(result: Any) -> Any:
    return jsonify(result.model_dump(by_alias=True)) if isinstance(result, Model) else result


def _parse_body(model: type[Model]) -> Model:
    """Return the body of the current request.

    Raises:
        BadRequest: it is not what *model* describes.
        UnsupportedMediaType: it is no JSON.
    """
    if not request.is_json:
        kind = request.mimetype or "nothing"
        raise UnsupportedMediaType(f"The body must be application/json, not {kind}.")
    value = parse_json(read_body(request.max_content_length))
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        # JSON may have half a surrogate pair in a name. For such a name pydantic gives no location.
        member = ".".join(map(str, found["loc"])) or "a name"
        raise BadRequest(
            f"In the body, {member}: {found['msg']}, not {str(found['input'])[:100]!r}."
        ) from None
