# SPDX-License-Identifier: MIT
"""Settings of the management port, and of the readiness checks that it shows."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

__all__ = ["Management"]

_OFF = {"off", "no", "false", "none"}


def _port(value: Any) -> Any:
    if value is False or (isinstance(value, str) and value.lower() in _OFF):
        return "off"
    try:
        port = int(value)
    except (TypeError, ValueError):
        port = -1
    if not 0 <= port <= 65535:
        raise ValueError('must be a whole number from 0 to 65535, or "off"')
    return port


class Management(BaseModel):
    """Where operators and their machines ask how the service is."""

    management_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address of the management port, which must never be public; 0.0.0.0 where scrapers "
        "come from other machines.",
    )
    management_port: Annotated[int | Literal["off"], BeforeValidator(_port)] = Field(
        default=5001,
        description='Port of metrics and readiness in detail; 0 takes a free one, "off" leaves it out.',
    )
    readiness_interval: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        description="Seconds from one run of the readiness checks to the next.",
    )
    readiness_full_errors: bool = Field(
        default=False,
        description="Show and log the whole text of what a readiness check raises, with the secrets that it "
        "may hold.",
    )
