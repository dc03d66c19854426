"""Nothing that is released gives a hidden count away, not even to who knows the rule; sums are those of the rows."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.cohort_statistics import (
    MISSING,
    OTHER,
    Cell,
    Cohort,
    Numbers,
    category_levels,
    cell_of,
    hidden,
    label_counts,
    number_summary,
    release,
    suppressed,
)
from common.data_schema import CategoryColumn, NumberColumn, TextColumn

COUNTS = st.lists(st.integers(0, 40), min_size=2, max_size=6)


def table(counts, few=()):
    return {str(i): Cell(count, count, i in few) for i, count in enumerate(counts)}


def released(counts, least):
    return tuple(suppressed(table(counts), least=least).values())


@pytest.mark.parametrize(("least", "cells", "most"), [(3, 2, 12), (3, 3, 10), (3, 4, 8), (4, 3, 11), (5, 3, 12)])
def test_every_hidden_count_has_an_alternative_for_who_knows_rule_and_total(least, cells, most):
    """Every table of a total, grouped by what is released of it: within a group a hidden cell has several values."""
    for total in range(least, most + 1):
        groups = defaultdict(list)
        for counts in product(range(total + 1), repeat=cells):
            if sum(counts) == total:
                groups[released(counts, least)].append(counts)
        for shown, tables in groups.items():
            for cell, value in enumerate(shown):
                assert value is not None or len({each[cell] for each in tables}) > 1, (shown, tables)


@given(COUNTS, st.integers(3, 12))
@settings(max_examples=200, deadline=None)
def test_a_hidden_count_could_be_another_one_in_larger_tables(counts, least):
    """Another table of the same total, of which the same is released: cells exchanged, or some rows moved."""
    if sum(counts) < least:
        return
    shown = released(counts, least)
    gone = [cell for cell, value in enumerate(shown) if value is None]
    for cell in gone:
        assert any(released(other, least) == shown for other in _neighbours(counts, cell, gone)), (counts, shown)


def _neighbours(counts, cell, gone):
    """Tables of the same total in which this cell has another count."""
    for other in gone:
        for moved in range(-counts[other], counts[cell] + 1):
            if other != cell and moved:
                changed = list(counts)
                changed[cell] -= moved
                changed[other] += moved
                if min(changed) >= 0:
                    yield changed
    rest = [each for each in gone if each != cell]
    for first, second in product(rest, rest):  # two rows at once: from one cell to two others
        if first < second:
            for sign in (1, -1):
                changed = list(counts)
                changed[cell] -= 2 * sign
                changed[first] += sign
                changed[second] += sign
                if min(changed) >= 0:
                    yield changed


@given(COUNTS, st.integers(3, 12), st.randoms(use_true_random=False))
def test_small_cells_are_hidden_and_order_does_not_matter(counts, least, random):
    cells = table(counts)
    gone = hidden(cells, least=least)
    assert {name for name, cell in cells.items() if 0 < cell.rows < least} <= gone
    names = list(cells)
    random.shuffle(names)
    assert hidden({name: cells[name] for name in names}, least=least) == gone


@given(COUNTS)
def test_with_nothing_to_hide_nothing_is_hidden(counts):
    assert released(counts, 0) == tuple(counts)
    assert released([count + 10 for count in counts], 10) == tuple(count + 10 for count in counts)


def test_what_is_hidden_together_is_of_enough_patients_and_never_all_alike():
    assert hidden(table([3, 20, 40]), least=10) == {"0", "1"}
    assert hidden(table([4, 4, 20, 20, 50]), least=10) == {"0", "1", "2", "3"}  # cells of one size go together
    assert hidden(table([2, 3, 20, 50]), least=10) == {"0", "1", "2"}  # five patients alone would tell of five
    assert hidden(table([0, 20, 30]), least=10) == frozenset()  # an empty cell is told
    assert hidden(table([0, 2, 30]), least=10) == {"0", "1", "2"}  # where no filled one would remain, none does


def test_a_cell_can_be_hidden_for_another_reason_than_its_size():
    assert hidden(table([20, 30, 40], few={2}), least=10) == {"2", "0"}
    assert hidden({"a": Cell(30, 2), "b": Cell(40, 40), "c": Cell(50, 50)}, least=10) == {"a", "b"}  # rows of two


PATIENTS = [f"p{i}" for i in range(30)]
COLUMNS = {
    "age": NumberColumn(type="number"),
    "sex": CategoryColumn(type="category", mapping={"0": "woman", "1": "man"}),
    "drug": CategoryColumn(type="category"),
    "note": TextColumn(type="text"),
}
FEATURES = {
    "age": [None] * 4 + [float(40 + i) for i in range(26)],
    "sex": ["woman"] * 12 + ["man"] * 18,
    "drug": ["aspirin"] * 13 + ["rare thing"] * 2 + [None] * 15,
}
GROUPS = {"no": np.arange(30) < 13, "yes": np.arange(30) >= 13}


def test_a_cohort_is_the_counts_and_sums_of_its_rows():
    found = release(PATIENTS, FEATURES, COLUMNS, GROUPS, least=3)
    ages = np.arange(40.0, 66.0)
    assert (found.rows, found.patients, found.small_cell) == (30, 30, 3)
    assert found.labels == {"no": 13, "yes": 17}
    assert found.categories["sex"] == {"woman": 12, "man": 18, MISSING: 0}
    assert found.numbers == {"age": Numbers(26, 4, ages.sum(), np.square(ages).sum())}
    assert found.numbers["age"].mean == pytest.approx(ages.mean())
    assert found.numbers["age"].deviation == pytest.approx(ages.std(ddof=1))


def test_a_column_whose_few_missing_values_would_tell_of_them_is_hidden_whole():
    assert release(PATIENTS, FEATURES, COLUMNS, GROUPS, least=5).numbers == {"age": Numbers()}
    assert number_summary([1.0] * 20, PATIENTS[:20], least=10) == Numbers(20, 0, 20.0, 20.0)
    assert number_summary([None] * 20, PATIENTS[:20], least=10) == Numbers(0, 20, 0.0, 0.0)
    assert Numbers(1, 0, 2.0, 4.0).deviation is None


def test_a_value_that_the_study_does_not_list_is_named_only_where_enough_patients_have_it():
    levels, names = category_levels(FEATURES["drug"], COLUMNS["drug"], PATIENTS, least=3)
    assert names == ["aspirin", OTHER, MISSING]
    assert levels[13:15] == [OTHER, OTHER]
    assert "rare thing" not in str(release(PATIENTS, FEATURES, COLUMNS, GROUPS, least=3))


def test_of_too_few_patients_nothing_is_told():
    patients = ["a"] * 20 + ["b"] * 10
    assert release(patients, FEATURES, COLUMNS, GROUPS, least=3) == Cohort(3)


def test_rows_of_one_patient_are_one_patient():
    assert cell_of(np.array([True, True, False]), ["a", "a", "b"]) == Cell(2, 1)


def test_labels_that_overlap_are_each_told_against_the_rows_without_it():
    groups = {"cough": np.arange(30) < 28, "fever": np.arange(30) < 14, "rash": np.zeros(30, dtype=bool)}
    assert label_counts(groups, PATIENTS, least=5) == {"cough": None, "fever": 14, "rash": 0}


@pytest.mark.parametrize("values", [{0.0: 38, 1.0: 2}, {0.0: 20, 1.0: 17, 2.0: 3}, {-1.0: 4, 1.0: 36}])
def test_a_rare_diagnosis_as_a_number_is_not_told_by_its_sum(values):
    """The sum of 0 and 1 is the small cell; of three values, count, sum and squares are three equations for it."""
    rows = [value for value, count in values.items() for _ in range(count)]
    assert number_summary(rows, [str(i) for i in range(len(rows))], least=10) == Numbers()
    assert number_summary(rows, [str(i) for i in range(len(rows))], least=2).total == sum(rows)


def test_few_values_of_many_patients_and_many_values_are_told():
    rows = [0.0] * 20 + [1.0] * 15
    patients = [str(i) for i in range(35)]
    assert number_summary(rows, patients, least=10).total == 15
    assert number_summary([float(i) for i in range(35)], patients, least=10).total == sum(range(35))
    assert number_summary(rows, ["a"] * 20 + patients[:15], least=10) == Numbers()  # rows are not patients


def test_cells_are_hidden_until_all_of_them_together_may_be_told():
    cells = {"a": Cell(30, 30, few=True), "b": Cell(31, 31, few=True), "c": Cell(40, 40), "d": Cell(50, 50)}
    assert hidden(cells, least=10) == {"a", "b"}
    assert hidden(cells, least=10, may_be_told=lambda names: len(set(names)) > 2) == {"a", "b", "c"}


def test_sums_are_numbers_over_all_sites_or_none_are_told():
    patients = [str(i) for i in range(20)]
    assert number_summary([1e160, *map(float, range(19))], patients, least=3) == Numbers()
    large = number_summary([1e148, *map(float, range(19))], patients, least=3)
    assert large.deviation == pytest.approx(1e148 / 20**0.5, rel=1e-9)
