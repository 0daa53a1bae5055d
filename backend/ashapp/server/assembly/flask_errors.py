# SPDX-License-Identifier: MIT
"""Note with a request what its Flask application raised and answered itself, with 500.

Such an exception comes out of no layer: Flask logs it, and sends ``got_request_exception``.
"""

from typing import Any

from flask import Flask, got_request_exception

from ashapp.bridge import nonblocking
from ashapp.observe.observation import current

__all__ = ["note_errors_of"]


def note_errors_of(app: Flask) -> None:
    """Note the exceptions of *app* from now on."""
    got_request_exception.connect(_note, app)


@nonblocking
def _note(_app: Flask, exception: BaseException, **_: Any) -> None:
    observation = current.get()
    if observation is not None and not observation.ended:
        observation.error = exception
