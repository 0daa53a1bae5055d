# SPDX-License-Identifier: MIT
"""The status that each worker reports while it serves, and how the main process reads it."""
