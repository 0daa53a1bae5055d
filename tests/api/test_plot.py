# SPDX-License-Identifier: MIT

from ashapp.api.plot import bands


def test_a_band_lies_on_the_one_below_and_ends_at_the_right() -> None:
    samples: list[tuple[float, dict[str, float]]] = [
        (40, {"loop": 1}),
        (70, {"loop": 1, "thread": 1}),
        (100, {}),
    ]
    assert bands(samples, ["loop", "thread", "server"]) == {
        "loop": "M300.0 50.0L450.0 50.0L600.0 100.0L600.0 100.0L450.0 100.0L300.0 100.0Z",
        "thread": "M300.0 50.0L450.0 0.0L600.0 100.0L600.0 100.0L450.0 50.0L300.0 50.0Z",
    }
