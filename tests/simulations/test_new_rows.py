"""What is new is the table less what was known, row by row: a multiset difference that keeps the table's order."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data import Rows
from common.errors import DataError
from common.study import Study, replaced
from simulations.catalogue import load
from simulations.new_rows import joined, read_new_rows, without_known

ROW = st.tuples(st.sampled_from("ab"), st.sampled_from(["p1", "p2"]), st.sampled_from(["cough", "rash"]), st.booleans())
Row = tuple[str, str, str, bool]


def rows_of(rows: list[Row]) -> Rows:
    return Rows(
        inputs=[row[2] for row in rows],
        labels=np.array([int(row[3]) for row in rows], dtype=np.int64),
        patients=[row[1] for row in rows],
        features={"age": list(range(len(rows)))},
        columns={"site": [row[0] for row in rows]},
    )


def as_tuples(rows: Rows) -> list[Row]:
    found = zip(rows.columns["site"], rows.patients, rows.inputs, rows.labels, strict=True)
    return [(site, patient, text, bool(label)) for site, patient, text, label in found]


@given(st.lists(ROW), st.lists(ROW), st.lists(ROW))
def test_the_difference_of_two_multisets_in_the_table_s_order(table: list[Row], one: list[Row], two: list[Row]) -> None:
    found = as_tuples(without_known(rows_of(table), [rows_of(one), rows_of(two)], site_column="site"))
    assert Counter(found) == Counter(table) - Counter([*one, *two])
    assert is_subsequence(found, table)


def is_subsequence(part: list[Row], whole: list[Row]) -> bool:
    left = iter(whole)
    return all(any(row == other for other in left) for row in part)


@given(st.lists(ROW))
def test_where_sites_are_in_no_column_they_do_not_count(table: list[Row]) -> None:
    elsewhere = [("b" if site == "a" else "a", *rest) for site, *rest in table]
    assert not len(without_known(rows_of(table), [rows_of(elsewhere)], site_column=None))  # type: ignore[arg-type] # as tuples


@given(st.lists(ROW, min_size=1), st.lists(ROW))
def test_parts_are_joined_whole(one: list[Row], two: list[Row]) -> None:
    found = joined([rows_of(one), rows_of(two)])
    assert as_tuples(found) == [*one, *two]
    assert list(found.features["age"]) == [*range(len(one)), *range(len(two))]


def quick(**simulation: object) -> Study:
    return replaced(load("quick"), {f"simulation.{key}": value for key, value in simulation.items()})


def test_known_rows_are_those_of_the_named_sites(tmp_path: Path) -> None:
    known = [{"data": "builtin:quick", "sites": ["east", "north"]}]
    assert set(read_new_rows(quick(without=known), tmp_path).columns["site"]) == {"west"}
    assert len(read_new_rows(quick(), tmp_path)) == 135
    everywhere = [{"data": "builtin:quick", "sites": []}]
    with pytest.raises(DataError, match=r"all 135 rows were there in an earlier phase; .*--replay"):
        read_new_rows(quick(without=everywhere), tmp_path)
