# SPDX-License-Identifier: MIT
"""The head of a request and what is wrong with it. No I/O."""
