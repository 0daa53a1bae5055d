# SPDX-License-Identifier: MIT
import pytest

from ashapp.api.plot import bands, scale


@pytest.mark.parametrize(
    ("most", "top"),
    [(0, 1), (0.2, 1), (1, 1), (1.1, 2), (3, 5), (5, 5), (7, 10), (10, 10), (11, 20), (4001, 5000)],
)
def test_the_plot_ends_at_a_round_number(most: float, top: float) -> None:
    assert scale([(0, {}), (1, {"loop": most / 2, "thread": most / 2})]) == top


def test_without_two_samples_nothing_is_drawn() -> None:
    assert scale([]) == 1
    assert bands([], ["loop"]) == bands([(5, {"loop": 1})], ["loop"]) == {}


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
