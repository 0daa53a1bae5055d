# SPDX-License-Identifier: MIT
"""An answer after a while."""

import re
from asyncio import sleep

from flask import Response, current_app, jsonify
from werkzeug.exceptions import BadRequest

__all__ = ["delay"]

_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?|\.[0-9]+")


async def delay(seconds: str) -> Response:
    """Answer after the given number of seconds, holding no thread meanwhile."""
    maximum = current_app.config["MAX_DELAY_SECONDS"]
    if not _DECIMAL.fullmatch(seconds) or float(seconds) > maximum:
        raise BadRequest(
            f"The delay must be a decimal number of seconds from 0 to {maximum}, not {seconds!r}."
        )
    duration = float(seconds)
    await sleep(duration)
    return jsonify(seconds=duration)
