# SPDX-License-Identifier: MIT
"""Where each view and hook of a Flask application runs, on the loop or on a thread, and why."""
