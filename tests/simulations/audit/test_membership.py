"""What the membership attack may say of few rows."""

import numpy as np
import pytest

from simulations.audit.membership import Resampling, separation_of


@pytest.mark.parametrize(("others", "is_measured"), [(99, False), (100, True)])
def test_one_percent_of_few_others_is_no_row(others: int, is_measured: bool) -> None:
    """Eight rows that stand above all others by chance were a leak before, which no model had to have seen."""
    scores = np.concatenate([np.full(8, 9.0), np.zeros(72), np.ones(others)])
    members = np.arange(80 + others) < 80
    patients = [str(number) for number in range(80 + others)]
    found = separation_of(scores, members, patients, Resampling(50, np.random.default_rng(0)))
    assert found.found.value == (pytest.approx(0.1) if is_measured else None)
    assert (found.found.reason is None) == is_measured
    assert found.auc.value is not None
