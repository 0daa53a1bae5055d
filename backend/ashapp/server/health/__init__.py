# SPDX-License-Identifier: MIT
"""Whether a worker can serve: its readiness checks, and what watches its event loop."""
