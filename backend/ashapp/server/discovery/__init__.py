# SPDX-License-Identifier: MIT
"""Find the application: the one that a target names, or the one that is in a folder."""
