# SPDX-License-Identifier: MIT
"""The reference application: a Flask app of its own, that any WSGI server can run.

It is what ``ashapp serve`` serves where no application is named, and what smoke tests call.
"""

from ashapp.api.app import create_app

__all__ = ["create_app"]
