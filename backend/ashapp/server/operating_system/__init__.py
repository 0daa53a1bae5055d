# SPDX-License-Identifier: MIT
"""What the operating system does with a process: signals, sockets, descriptors, memory, process 1."""
