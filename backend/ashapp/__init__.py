# SPDX-License-Identifier: MIT
"""Run a Flask application, unchanged, as an async ASGI service.

``FlaskToAsgi(app)`` is an ASGI 3 application; ``ashapp serve module:app`` serves one.
Importing this package imports neither uvicorn nor the command line.
"""

from ashapp.api import create_app
from ashapp.bridge import FlaskToAsgi, WsgiToAsgi, nonblocking

__all__ = ["FlaskToAsgi", "WsgiToAsgi", "__version__", "create_app", "nonblocking"]

__version__ = "0.1.0"
