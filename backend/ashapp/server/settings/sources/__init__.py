# SPDX-License-Identifier: MIT
"""Where settings are given, and how they are written there. Only the standard library is needed for it."""
