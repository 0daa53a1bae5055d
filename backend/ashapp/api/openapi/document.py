# SPDX-License-Identifier: MIT
"""The OpenAPI document (version 3.1), made of the annotations and models that validate.

Pydantic makes the schemas, and OpenAPI 3.1 takes them as they are: both are JSON Schema. So the schema that
is published is the one that validates.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from ashapp.api.openapi.operations import Answer, Endpoint, Model
from ashapp.api.problems import Problem

__all__ = ["document", "with_body"]

_JSON = "application/json"
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_SECURITY = {
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
# The schemas of bodies that a view reads by itself.
_BODIES: Mapping[str, Any] = {
    "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
    "multipart/form-data": {"schema": {"type": "object"}},
    "text/plain": {"schema": {"type": "string"}},
}


def document(title: str, version: str, endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the document of *endpoints*; a server has to be added to it."""
    schemas = _schemas(endpoints)
    routes = dict.fromkeys(endpoint.operation.routes for endpoint in endpoints)
    paths: dict[str, Any] = {}
    sockets: dict[str, Any] = {}
    for endpoint in endpoints:
        if endpoint.operation.is_websocket:
            sockets[endpoint.path] = _about(endpoint)
            continue
        path = paths.setdefault(endpoint.path, {})
        for method in endpoint.operation.methods:
            path[method.lower()] = _operation(endpoint, method)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "summary": "What a client sends, and where and how it is answered.",
            "description": (
                "Every error is a problem (RFC 9457). HEAD and OPTIONS are answered too. "
                "OpenAPI knows no WebSockets: `x-websockets` has them."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": each.tag, "description": each.description} for each in routes],
        "paths": paths,
        "x-websockets": sockets,
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }


def _schemas(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    models: dict[type[Model], Any] = {Problem: "serialization"}
    for endpoint in endpoints:
        answers = (endpoint.result, *(answer.model for answer in endpoint.operation.answers))
        models |= {model: "serialization" for model in answers if model is not None}
        if endpoint.body is not None:
            models[endpoint.body[1]] = "validation"
    _, schemas = models_json_schema(list(models.items()), ref_template="#/components/schemas/{model}")
    found: dict[str, Any] = schemas["$defs"]
    return found


def with_body(method: str) -> bool:
    """Say whether a request of this *method* has a body that means something (RFC 9110, section 9.3)."""
    return method in {"POST", "PUT", "PATCH"}


def _operation(endpoint: Endpoint, method: str) -> dict[str, Any]:
    operation = endpoint.operation
    name = endpoint.name if len(operation.methods) == 1 else f"{endpoint.name}_{method.lower()}"
    described = {"operationId": name, **_about(endpoint)}
    if endpoint.body is not None:
        content = {_JSON: {"schema": _reference(endpoint.body[1])}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.takes and with_body(method):
        described["requestBody"] = {"content": {each: _BODIES.get(each, {}) for each in operation.takes}}
    if operation.security:
        described["security"] = [{operation.security: []}]
    return {**described, "responses": _responses(endpoint)}


def _about(endpoint: Endpoint) -> dict[str, Any]:
    operation = endpoint.operation
    about: dict[str, Any] = {"summary": operation.summary, "tags": [operation.routes.tag]}
    if operation.description:
        about["description"] = operation.description
    if endpoint.parameters:
        about["parameters"] = [
            {
                "name": each.name,
                "in": each.where,
                "required": each.required,
                "description": each.value.description,
                "schema": each.schema,
            }
            for each in endpoint.parameters
        ]
    return about


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if endpoint.result is not None:
        described = (endpoint.result.__doc__ or "").partition("\n")[0]
        content = {_JSON: {"schema": _reference(endpoint.result)}}
        responses["200"] = {"description": described, "content": content}
    for answer in endpoint.operation.answers:
        _add(responses, answer)
    if endpoint.parameters or endpoint.body or endpoint.operation.takes:
        responses["400"] = {"description": "A value or the body is not allowed.", "content": _PROBLEM}
    if endpoint.body or endpoint.operation.takes:
        responses["413"] = {"description": "The body is too large.", "content": _PROBLEM}
        responses["415"] = {"description": "The body is of a kind that is not taken.", "content": _PROBLEM}
    if endpoint.operation.security:
        challenge = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "What is asked for."}}
        responses["401"] = {
            "description": "The credentials are missing or wrong.",
            "headers": challenge,
            "content": _PROBLEM,
        }
    responses["default"] = {"description": "An error.", "content": _PROBLEM}
    return responses


def _reference(model: type[Model]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _add(responses: dict[str, Any], answer: Answer) -> None:
    response = responses.setdefault(str(answer.status), {"description": answer.description})
    if answer.media_type is not None:
        content = {} if answer.model is None else {"schema": _reference(answer.model)}
        response.setdefault("content", {})[answer.media_type] = content
    for name, described in answer.headers.items():
        field = {"description": described, "schema": {"type": "string"}}
        response.setdefault("headers", {})[name] = field
