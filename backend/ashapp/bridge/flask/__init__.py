# SPDX-License-Identifier: MIT
"""``FlaskToAsgi``, and what is replaced on a Flask application."""
