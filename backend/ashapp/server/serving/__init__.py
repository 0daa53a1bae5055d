# SPDX-License-Identifier: MIT
"""A process that serves: its start and what it logs then, its sockets, its connections, its end."""
