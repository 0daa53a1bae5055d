# SPDX-License-Identifier: MIT
"""Records of checked values: a setting, or what a client asks for, is of a kind."""
