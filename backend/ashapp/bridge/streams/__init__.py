# SPDX-License-Identifier: MIT
"""Streams of events: responses whose body goes on for as long as the client listens."""
