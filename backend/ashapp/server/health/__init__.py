# SPDX-License-Identifier: MIT
"""Whether a process serves, can serve, and goes on."""
