# SPDX-License-Identifier: MIT
"""The settings of the service, from whatever source. ``model`` joins the groups of them."""
