# SPDX-License-Identifier: MIT
"""The operating system: signals, sockets, descriptors, memory, the duties of process 1, systemd."""
