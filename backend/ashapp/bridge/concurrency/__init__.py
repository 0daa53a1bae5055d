# SPDX-License-Identifier: MIT
"""Who runs code, and in which context: threads, greenlets, and the event loop."""
