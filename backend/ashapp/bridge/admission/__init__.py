# SPDX-License-Identifier: MIT
"""Which requests may begin, and when: by their number, and by the memory that their bodies take."""
