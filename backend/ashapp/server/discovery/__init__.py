# SPDX-License-Identifier: MIT
"""Find the application that a target names, or that is in the current folder."""
