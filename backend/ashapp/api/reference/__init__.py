# SPDX-License-Identifier: MIT
"""How operations are declared and validated, and the reference that is made of the same declarations."""
