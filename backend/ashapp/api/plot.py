# SPDX-License-Identifier: MIT
"""The plot of the live page: stacked bands, one for each place, each the path of an SVG."""

import math
from collections.abc import Mapping, Sequence

__all__ = ["HEIGHT", "SECONDS", "WIDTH", "bands", "scale"]

#: The size of the plot in its own units. The width is also the number of seconds that it shows.
SECONDS = 120
WIDTH = 600
HEIGHT = 100

#: When something was measured, in seconds, and how much there was of each kind.
_Samples = Sequence[tuple[float, Mapping[str, float]]]


def scale(samples: _Samples) -> float:
    """Return the top of the plot: the lowest of 1, 2, 5, 10, 20, 50 … that no value exceeds."""
    most = max((sum(values.values()) for _, values in samples), default=0.0)
    if most <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 5, 10) if most <= step * power)


def bands(samples: _Samples, kinds: Sequence[str]) -> dict[str, str]:
    """Return the path of the band of each kind, the first at the bottom; the last sample is at the right."""
    if len(samples) < 2:
        return {}
    top, end = scale(samples), samples[-1][0]
    lower = [0.0] * len(samples)
    paths = {}
    for kind in kinds:
        upper = [below + values.get(kind, 0.0) for below, (_, values) in zip(lower, samples, strict=True)]
        if upper != lower:
            there = [_point(time - end, value / top) for (time, _), value in zip(samples, upper, strict=True)]
            back = [_point(time - end, value / top) for (time, _), value in zip(samples, lower, strict=True)]
            paths[kind] = f"M{'L'.join(there + back[::-1])}Z"
        lower = upper
    return paths


def _point(time: float, value: float) -> str:
    return f"{WIDTH * (1 + time / SECONDS):.1f} {HEIGHT * (1 - value):.1f}"
