"""Poisson samples of patients, and how their rows are dealt."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from client.patient_sample import PatientRows, chunks

PATIENTS = ["a", "b", "a", "c", "b", "a"]


def test_each_patient_takes_part_by_itself_with_the_probability() -> None:
    rows, rng = PatientRows.of([str(i) for i in range(40)]), np.random.default_rng(0)
    drawn = np.array([[len(rows.sample(0.3, most_rows=1, uniform=rng.random))] for _ in range(4000)])
    # Binomial(40, 0.3): mean 12, variance 8.4. Sampling a fixed number of patients would have no variance.
    assert abs(drawn.mean() - 12) < 5 * np.sqrt(8.4 / 4000)
    assert abs(drawn.var() - 8.4) < 1.0


def test_all_take_part_at_1_and_hardly_any_near_0() -> None:
    rows = PatientRows.of(PATIENTS)
    assert [part.tolist() for part in rows.sample(1.0, most_rows=9, uniform=np.random.default_rng(0).random)] == [
        [0, 2, 5],
        [1, 4],
        [3],
    ]
    assert rows.sample(1e-12, most_rows=9, uniform=np.random.default_rng(0).random) == []


def test_a_patient_brings_at_most_so_many_rows_and_not_always_the_same() -> None:
    rows, rng = PatientRows.of(["a"] * 10), np.random.default_rng(1)
    drawn = [tuple(rows.sample(1.0, most_rows=3, uniform=rng.random)[0].tolist()) for _ in range(60)]
    assert all(len(set(each)) == 3 and list(each) == sorted(each) for each in drawn)
    assert {row for each in drawn for row in each} == set(range(10))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(1, 8), st.integers(0, 9))
def test_every_patient_is_in_one_part_whole(owners: list[int], most: int, seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 50, len(owners)).tolist()
    patients = PatientRows.of([str(owner) for owner in owners]).rows
    parts = chunks(patients, lengths, most_rows=most)
    dealt = sorted(tuple(rows.tolist()) for part in parts for rows in part)
    assert dealt == sorted(tuple(rows.tolist()) for rows in patients)
    assert all(len(part) == 1 or sum(map(len, part)) <= most for part in parts)
