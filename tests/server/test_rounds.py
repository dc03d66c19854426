from collections.abc import Callable
from typing import Any

import numpy as np


def test_rounds_are_the_weighted_mean_worked_out_by_hand(lab: Callable[..., Any]) -> None:
    made = lab(4)
    outcome = made.run()
    # Half of the way to the weighted mean of the targets: x' = x + (mean - x) / 2, mean = sum(10 i * i) / sum(10 i) = 3.
    expected = {"a.weight": 0.0, "b.bias": 1.0}
    for _ in range(3):
        expected = {name: x + (3.0 - x) / 2 for name, x in expected.items()}
    for name, value in expected.items():
        np.testing.assert_allclose(outcome.adapter[name], value, rtol=1e-6)
    assert outcome.state.round == outcome.kept_round == 3
    assert set(outcome.test) == set(made.sites)
    print(outcome.rounds[0], outcome.initial)
