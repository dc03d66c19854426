import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.audit.shadows import halves, two_groups


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=30), st.sampled_from([2, 4, 10]))
def test_each_row_is_in_half_of_the_shadows_and_patients_stay_together(patients: list[str], shadows: int) -> None:
    names = np.array(patients)
    found = halves(names, shadows, np.random.default_rng(0))
    assert found.shape == (shadows, len(names))
    assert (found.sum(axis=0) == shadows // 2).all()
    for patient in set(patients):
        assert (found[:, names == patient] == found[:, names == patient][:, :1]).all()


def test_shadows_differ() -> None:
    names = np.array([str(number) for number in range(100)])
    found = halves(names, 8, np.random.default_rng(0))
    assert len({tuple(row) for row in found.tolist()}) == 8
    assert found.sum(axis=1).tolist() == [50] * 8


@pytest.mark.parametrize("sizes", [{"a": 1, "b": 1}, {"a": 100, "b": 1, "c": 50, "d": 49}, {"x": 3, "y": 3, "z": 3}])
def test_both_groups_have_sites_and_together_all(sizes: dict[str, int]) -> None:
    first, second = two_groups(sizes)
    assert first
    assert second
    assert sorted([*first, *second]) == sorted(sizes)
    totals = [sum(sizes[site] for site in group) for group in (first, second)]
    assert abs(totals[0] - totals[1]) <= max(sizes.values())
