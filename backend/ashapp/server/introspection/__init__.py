# SPDX-License-Identifier: MIT
"""What an application consists of: its routes and hooks, and where the code of each runs."""
