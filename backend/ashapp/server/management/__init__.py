# SPDX-License-Identifier: MIT
"""The management port, and what it knows of each worker."""
