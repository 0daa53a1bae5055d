# SPDX-License-Identifier: MIT
"""Threads that run code of requests, and their thread-local values."""
