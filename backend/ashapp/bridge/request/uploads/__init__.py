# SPDX-License-Identifier: MIT
"""The body of a request on its way in: when it is taken in, how much of it, and who reads it."""
