# SPDX-License-Identifier: MIT
"""Sources of settings, and the formats in them. Only the standard library is imported."""
