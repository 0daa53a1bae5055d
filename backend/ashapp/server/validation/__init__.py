# SPDX-License-Identifier: MIT
"""Checks of values, such as those of settings: what is allowed, and what a text stands for."""
