import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from client.split import Parts, split_patients

PATIENTS = st.lists(st.text(max_size=4), max_size=60)
SEEDS = st.integers(0, 2**32 - 1)
FRACTIONS = st.floats(0.01, 0.49)


def parts(patients: list[str], split: Parts) -> dict[str, set[str]]:
    return {
        name: {patients[i] for i in index}
        for name, index in (("train", split.train), ("validation", split.validation), ("test", split.test))
    }


@given(PATIENTS, SEEDS, FRACTIONS, FRACTIONS)
def test_parts_are_a_partition_of_rows_and_of_patients(
    patients: list[str], seed: int, validation: float, test: float
) -> None:
    split = split_patients(patients, split_seed=seed, validation_fraction=validation, test_fraction=test)
    together = np.concatenate([split.train, split.validation, split.test])
    assert sorted(together.tolist()) == list(range(len(patients)))
    groups = list(parts(patients, split).values())
    assert sum(len(group) for group in groups) == len(set(patients))


@given(PATIENTS, SEEDS, st.randoms(use_true_random=False), PATIENTS)
def test_neither_order_nor_other_patients_move_anyone(
    patients: list[str], seed: int, random: object, more: list[str]
) -> None:
    def split(rows: list[str]) -> dict[str, set[str]]:
        return parts(rows, split_patients(rows, split_seed=seed, validation_fraction=0.2, test_fraction=0.3))

    shuffled = [*patients, *more]
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis types it as Random
    larger = split(shuffled)
    for name, group in split(patients).items():
        assert group <= larger[name]


def test_fractions_are_kept_and_seeds_differ() -> None:
    patients = [f"p{i}" for i in range(20_000)]
    first = split_patients(patients, split_seed=0, validation_fraction=0.15, test_fraction=0.25)
    other = split_patients(patients, split_seed=1, validation_fraction=0.15, test_fraction=0.25)
    # Binomial(20000, p): five standard deviations are at most 5 * sqrt(p (1 - p) / 20000) < 0.016.
    assert abs(len(first.test) / 20_000 - 0.25) < 0.016
    assert abs(len(first.validation) / 20_000 - 0.15) < 0.016
    # Independent seeds share a quarter of each other's test patients.
    assert abs(len(set(first.test) & set(other.test)) / 20_000 - 0.0625) < 0.01


def test_a_larger_test_fraction_keeps_the_test_patients() -> None:
    patients = [f"p{i}" for i in range(500)]
    small = split_patients(patients, split_seed=3, validation_fraction=0.1, test_fraction=0.2)
    large = split_patients(patients, split_seed=3, validation_fraction=0.1, test_fraction=0.4)
    assert set(small.test) < set(large.test)
