# SPDX-License-Identifier: MIT
"""The reference API without waits: a stream may have a thousand pieces."""

from ashapp import create_app

__all__ = ["app"]

app = create_app({"MAX_DELAY_SECONDS": 0.001, "SECRET_KEY": "2fd0a5c1e8b94763"})
