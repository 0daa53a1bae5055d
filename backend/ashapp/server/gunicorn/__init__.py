# SPDX-License-Identifier: MIT
"""Coming from gunicorn: what its settings and its options are called here."""
