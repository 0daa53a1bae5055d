# SPDX-License-Identifier: MIT
"""For those who come from gunicorn: its settings and options, and ours in their place."""
