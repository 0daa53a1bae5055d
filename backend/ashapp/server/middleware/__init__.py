# SPDX-License-Identifier: MIT
"""Layers that answer or change a scope before the application sees it: see ``front``."""
