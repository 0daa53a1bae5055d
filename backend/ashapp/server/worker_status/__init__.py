# SPDX-License-Identifier: MIT
"""What each worker tells of itself while it serves, and how the main process reads it."""
