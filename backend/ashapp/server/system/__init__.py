# SPDX-License-Identifier: MIT
"""What the operating system does with a process: signals, descriptors, memory, the duties of process 1."""
