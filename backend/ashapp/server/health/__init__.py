# SPDX-License-Identifier: MIT
"""Whether a worker can serve: its readiness checks, what watches its event loop, and asking from outside."""
