from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulations.partitions._patients import Patients

ROWS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), min_size=1, max_size=30)


@given(ROWS)
def test_the_majority_is_the_most_frequent_label_the_smallest_of_equals(rows: list[tuple[str, int]]) -> None:
    people = Patients.of([p for p, _ in rows], sites=1)
    majority = people.majority(np.array([label for _, label in rows], dtype=np.int64))
    for (patient, _), position in zip(rows, people.of_row, strict=True):
        votes = Counter(label for p, label in rows if p == patient)
        assert majority[position] == min(votes, key=lambda label: (-votes[label], label))
