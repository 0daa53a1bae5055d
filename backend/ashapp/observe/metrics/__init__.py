# SPDX-License-Identifier: MIT
"""Counts and times of requests, over all workers."""
