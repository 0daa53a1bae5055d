# SPDX-License-Identifier: MIT
"""Threads that run code of requests, and what is kept on them."""
