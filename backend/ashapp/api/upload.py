# SPDX-License-Identifier: MIT
"""The measure of a body of any size."""

from hashlib import sha256

from flask import Response, current_app, jsonify, request

from ashapp.api.body import body_chunks

__all__ = ["upload"]


def upload() -> Response:
    """Return the size and SHA-256 of the body, as sent, which is not kept."""
    digest = sha256()
    size = 0
    for chunk in body_chunks(current_app.config["MAX_UPLOAD_SIZE"]):
        digest.update(chunk)
        size += len(chunk)
    return jsonify(size=size, sha256=digest.hexdigest(), content_type=request.content_type)
