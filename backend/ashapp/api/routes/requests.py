# SPDX-License-Identifier: MIT
"""What the application saw of a request."""

from base64 import b64encode
from hashlib import sha256
from typing import Any, Literal

from flask import abort, current_app, request
from pydantic import Field
from werkzeug.datastructures import FileStorage

from ashapp.api.body import chunks_of_body, read_body
from ashapp.api.openapi.operations import ANY, ANY_BODY, BYTES, Model, Routes
from ashapp.api.payload import parse_form, parse_json, parse_urlencoded
from ashapp.api.problems import problem
from ashapp.api.trace import Trace, trace_of_request

__all__ = [
    "Anything",
    "Client",
    "Echo",
    "File",
    "Headers",
    "Upload",
    "anything",
    "echo",
    "headers",
    "routes",
    "upload",
]

routes = Routes("Requests", "What the application saw of a request.")


class File(Model):
    """A file of a form, and how many bytes it has."""

    filename: str | None
    content_type: str | None
    size: int


class Echo(Model):
    """A request. What may be repeated is a list. `data` is the body as text, or else in base64."""

    method: str
    path: str
    args: dict[str, list[str]]
    headers: dict[str, str]
    data: str
    encoding: Literal["utf-8", "base64"]
    form: dict[str, list[str]]
    files: dict[str, list[File]]
    json_value: Any = Field(serialization_alias="json")


class Client(Model):
    """Where a request came from, as far as proxies are trusted."""

    address: str | None
    port: int | None


class Anything(Echo):
    """A request, its client and its trace. `tls` says whether it came by TLS."""

    url: str
    http_version: str
    client: Client
    tls: bool
    trace: Trace


class Headers(Model):
    """The header fields of a request."""

    headers: dict[str, str]


class Upload(Model):
    """A body that was read and not kept: its size in bytes, and its SHA-256 in hexadecimal digits."""

    size: int
    sha256: str
    content_type: str | None


@routes.add("/echo", methods=ANY, takes=ANY_BODY)
def echo() -> Echo:
    """Return the request: its method, path, query, headers and body."""
    return Echo(**_seen())


@routes.add("/anything", methods=ANY, takes=ANY_BODY)
def anything() -> Anything:
    """Return the request, with its URL, client and trace, as proxies have passed them on."""
    environ = request.environ
    port = environ.get("REMOTE_PORT")
    return Anything(
        **_seen(),
        url=request.url,
        http_version=environ.get("SERVER_PROTOCOL", ""),
        client=Client(address=request.remote_addr, port=port and int(port)),
        tls=request.is_secure,
        trace=trace_of_request(),
    )


@routes.add("/headers")
def headers() -> Headers:
    """Return the header fields of the request, as the server passed them on."""
    return Headers(headers=dict(request.headers.items()))


@routes.add("/upload", methods=("POST", "PUT"), takes=BYTES)
def upload() -> Upload:
    """Return the size and SHA-256 of the body, which streams in and is not kept."""
    digest = sha256()
    size = 0
    for chunk in chunks_of_body(current_app.config["MAX_UPLOAD_SIZE"]):
        digest.update(chunk)
        size += len(chunk)
    return Upload(size=size, sha256=digest.hexdigest(), content_type=request.content_type)


def _seen() -> dict[str, Any]:
    coding = request.content_encoding or "identity"
    if coding.lower() != "identity":
        # RFC 9110, section 15.5.16: name the codings that would have been accepted.
        refusal = f"A body with the content coding {coding} is not accepted."
        abort(problem(415, refusal, [("Accept-Encoding", "identity")]))
    data = read_body(request.max_content_length)
    text, encoding = _text_of(data)
    fields, files = parse_form(data)
    return {
        "method": request.method,
        "path": request.path,
        "args": parse_urlencoded(request.query_string).to_dict(flat=False),
        "headers": dict(request.headers.items()),
        "data": text,
        "encoding": encoding,
        "form": fields.to_dict(flat=False),
        "files": {name: [_description(file) for file in files.getlist(name)] for name in files},
        "json_value": parse_json(data) if data and request.is_json else None,
    }


def _text_of(data: bytes) -> tuple[str, str]:
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        return b64encode(data).decode(), "base64"


def _description(file: FileStorage) -> File:
    return File(filename=file.filename, content_type=file.content_type, size=len(file.stream.read()))
