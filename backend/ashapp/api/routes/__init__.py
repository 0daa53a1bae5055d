# SPDX-License-Identifier: MIT
"""The operations of the reference API, by what they are about."""
