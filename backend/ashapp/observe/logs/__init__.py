# SPDX-License-Identifier: MIT
"""Log records: how they look, and where they go."""
