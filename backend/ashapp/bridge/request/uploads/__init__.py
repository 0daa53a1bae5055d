# SPDX-License-Identifier: MIT
"""The body of a request on its way in: how much is received, and when, and how it is read."""
