# SPDX-License-Identifier: MIT
"""A socket by which the user of a service asks it: how it is, what it runs, for other workers."""
