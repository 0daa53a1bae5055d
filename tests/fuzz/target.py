# SPDX-License-Identifier: MIT
"""The reference API without waits: a stream may have a thousand pieces, and the page is live for minutes."""

from ashapp import create_app

__all__ = ["app"]

app = create_app({"LIVE_PAGE": False, "MAX_DELAY_SECONDS": 0.001, "SECRET_KEY": "2fd0a5c1e8b94763"})
