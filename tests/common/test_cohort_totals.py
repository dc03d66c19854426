"""Totals are sums of what was told, and of nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.cohort_statistics import Cohort, Numbers, release
from common.cohort_totals import NumbersTotal, Total, add, total
from common.data_schema import CategoryColumn, NumberColumn

COLUMNS = {"age": NumberColumn(type="number"), "sex": CategoryColumn(type="category", mapping={"0": "f", "1": "m"})}
ROWS = st.lists(
    st.tuples(st.sampled_from(["f", "m", None]), st.integers(0, 99), st.booleans()), min_size=1, max_size=30
)


def cohort(rows, least):
    sexes, ages, labels = zip(*rows, strict=True)
    yes = np.array(labels)
    features = {"sex": list(sexes), "age": [float(age) for age in ages]}
    patients = [f"{number}" for number in range(len(rows))]
    return release(patients, features, COLUMNS, {"yes": yes, "no": ~yes}, least=least)


@given(ROWS, ROWS)
def test_where_nothing_is_hidden_two_sites_add_up_to_one_with_the_rows_of_both(first, second):
    found, whole = add([cohort(first, 0), cohort(second, 0)]), cohort(first + second, 0)
    assert found.rows == Total(whole.rows)
    assert found.labels == {name: Total(count) for name, count in whole.labels.items()}
    assert found.categories["sex"] == {name: Total(count) for name, count in whole.categories["sex"].items()}
    assert found.numbers["age"] == NumbersTotal(whole.numbers["age"])


@given(st.lists(st.none() | st.integers(0, 99)))
def test_a_total_is_what_anyone_could_add_up_from_what_was_told(values):
    found = total(values)
    assert found.rows == sum(value for value in values if value is not None)
    assert found.hidden_at == values.count(None)


def test_a_site_that_tells_nothing_is_counted_as_one_that_hides():
    told = Cohort(3, 20, 20, {"yes": 12, "no": 8}, {"drug": {"a": 20}}, {"age": Numbers(20, 0, 100.0, 600.0)})
    found = add([told, Cohort(3)])
    assert found.rows == Total(20, hidden_at=1)
    assert found.labels["yes"] == Total(12, hidden_at=1)
    assert found.categories["drug"]["a"] == Total(20, hidden_at=1)
    assert found.numbers["age"] == NumbersTotal(told.numbers["age"], hidden_at=1)


def test_a_value_that_a_site_does_not_name_has_no_row_there():
    first, second = Cohort(3, 9, 9, {}, {"drug": {"a": 9}}, {}), Cohort(3, 8, 8, {}, {"drug": {"b": 8}}, {})
    assert add([first, second]).categories["drug"] == {"a": Total(9), "b": Total(8)}


def test_numbers_that_no_site_tells_are_none():
    hides = Cohort(3, 9, 9, {}, {}, {"age": Numbers()})
    assert add([hides]).numbers == {"age": NumbersTotal(Numbers(), hidden_at=1)}
