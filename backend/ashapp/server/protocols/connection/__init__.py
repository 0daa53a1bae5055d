# SPDX-License-Identifier: MIT
"""One connection: its transport, its time, and whose turn it is."""
