# SPDX-License-Identifier: MIT
"""Settings of the log."""

from typing import Literal

from pydantic import BaseModel, Field, FilePath

__all__ = ["Logging"]


class Logging(BaseModel):
    """What is logged, and how it looks."""

    log_level: Literal["critical", "error", "warning", "info", "debug", "trace"] = Field(
        default="info", description="Log level."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="One JSON object per line, or lines for a reader; auto takes these at a terminal.",
    )
    log_config: FilePath | None = Field(
        default=None,
        description="Logging configuration file (.ini, .json, .yaml) that replaces the log described here.",
    )
    access_log: bool = Field(
        default=True, description="Log each request when it has ended, at level info. Probes are left out."
    )
    access_log_query: bool = Field(
        default=False, description="Log the query string of each request too, with the secrets it may hold."
    )
