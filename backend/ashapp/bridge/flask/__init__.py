# SPDX-License-Identifier: MIT
"""``FlaskToAsgi``, and the methods that it replaces on a Flask application."""
