# SPDX-License-Identifier: MIT
"""Against misuse: no debug mode, no key that can be guessed, no secret in the text of an error."""
