# SPDX-License-Identifier: MIT
"""Settings of the probes."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

__all__ = ["Probing"]


def _probe_path(value: str) -> str:
    if value in {"", "off"}:
        return ""
    if not value.startswith("/"):
        raise ValueError('must begin with a slash, or be "off"')
    return value


class Probing(BaseModel):
    """Which probes are answered, and where."""

    probes: bool = Field(default=True, description="Answer the probes below, before the application.")
    livez_path: Annotated[str, AfterValidator(_probe_path)] = Field(
        default="/livez", description='Path of the liveness probe; "off" leaves it to the application.'
    )
    readyz_path: Annotated[str, AfterValidator(_probe_path)] = Field(
        default="/readyz", description='Path of the readiness probe; "off" leaves it to the application.'
    )
    healthz_path: Annotated[str, AfterValidator(_probe_path)] = Field(
        default="/healthz",
        description='A second path of the liveness probe; "off" leaves it to the application.',
    )

    @model_validator(mode="after")
    def _distinct_paths(self) -> Self:
        paths = [path for path in (self.livez_path, self.readyz_path, self.healthz_path) if path]
        if len(paths) != len(set(paths)):
            raise ValueError("livez_path, readyz_path and healthz_path must differ")
        return self
