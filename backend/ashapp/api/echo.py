# SPDX-License-Identifier: MIT
"""What the application saw of a request."""

from base64 import b64encode

from flask import Response, jsonify, request
from werkzeug.datastructures import FileStorage

from ashapp.api.body import read_body
from ashapp.api.payload import parse_form, parse_json, parse_urlencoded
from ashapp.api.problems import problem

__all__ = ["echo", "headers"]


def echo() -> Response:
    """Return the request: its method, path, query, headers and body."""
    coding = request.content_encoding or "identity"
    if coding.lower() != "identity":
        # RFC 9110, section 15.5.16: name the codings that would have been accepted.
        return problem(
            415,
            f"A body with the content coding {coding} is not accepted.",
            [("Accept-Encoding", "identity")],
        )
    data = read_body(request.max_content_length)
    text, encoding = _text_of(data)
    fields, files = parse_form(data)
    return jsonify(
        method=request.method,
        path=request.path,
        args=parse_urlencoded(request.query_string).to_dict(flat=False),
        headers=dict(request.headers.items()),
        data=text,
        encoding=encoding,
        form=fields.to_dict(flat=False),
        files={name: [_description(file) for file in files.getlist(name)] for name in files},
        json=parse_json(data) if data and request.is_json else None,
    )


def headers() -> Response:
    """Return the header fields of the request, as the server passed them on."""
    return jsonify(headers=dict(request.headers.items()))


def _text_of(data: bytes) -> tuple[str, str]:
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        return b64encode(data).decode(), "base64"


def _description(file: FileStorage) -> dict[str, str | int | None]:
    return {
        "filename": file.filename,
        "content_type": file.content_type,
        "size": len(file.stream.read()),
    }
