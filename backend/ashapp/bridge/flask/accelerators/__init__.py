# SPDX-License-Identifier: MIT
"""Shorter ways through what Flask and Werkzeug do for each request, with the same results."""
