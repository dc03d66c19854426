import numpy as np
import pytest

from client.data import Rows
from common.errors import DataError
from common.study_simulation import SimulationSection
from simulations.sites import by_column, divide


def rows(hospitals: list[str]) -> Rows:
    n = len(hospitals)
    return Rows(
        inputs=[f"t{i}" for i in range(n)],
        labels=np.arange(n, dtype=np.int64) % 2,
        patients=[f"p{i}" for i in range(n)],
        features={"age": [float(i) for i in range(n)]},
        columns={"hospital": hospitals},
    )


def section(**content: object) -> SimulationSection:
    return SimulationSection.model_validate({"data": "rows.csv", **content})


def test_a_column_divides_the_rows_in_order() -> None:
    sites = divide(rows(["b", "a", " b", "c"]), section(site_column="hospital"), seed=0)
    assert {name: list(site.inputs) for name, site in sites.items()} == {"a": ["t1"], "b": ["t0", "t2"], "c": ["t3"]}
    assert list(sites) == ["a", "b", "c"]
    assert sites["b"].features == {"age": [0.0, 2.0]}


def test_the_roster_chooses_sites() -> None:
    assert list(divide(rows(["b", "a", "c"]), section(site_column="hospital"), seed=0, roster=("c", "a"))) == ["a", "c"]


@pytest.mark.parametrize(
    ("hospitals", "column", "roster", "message"),
    [
        (["a", "b"], "site", (), "'site' is not a column beside inputs, target and patient id; there are: hospital"),
        (["a", ""], "hospital", (), "row 2: no site"),
        (["St. Mary's", "a"], "hospital", (), "row 1: \"St. Mary's\" cannot be a site's name"),
        (["a", "b"], "hospital", ("a", "d"), "'d' has no rows; the data have: a, b"),
    ],
)
def test_a_mistake_is_named(hospitals: list[str], column: str, roster: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        divide(rows(hospitals), section(site_column=column), seed=0, roster=roster)


def test_a_partition_divides_the_rows() -> None:
    data = rows(["x"] * 30)
    parts = section(partition={"name": "quantity", "sites": 3, "alpha": 2.0})
    sites = divide(data, parts, seed=5)
    assert list(sites) == ["site-1", "site-2", "site-3"]
    assert sorted(text for site in sites.values() for text in site.inputs) == sorted(data.inputs)
    assert [s.inputs for s in divide(data, parts, seed=5).values()] == [s.inputs for s in sites.values()]
    assert [s.inputs for s in divide(data, parts, seed=6).values()] != [s.inputs for s in sites.values()]


def test_the_roster_names_the_sites_of_a_partition() -> None:
    parts = section(partition={"name": "iid", "sites": 2})
    assert list(divide(rows(["x"] * 4), parts, seed=0, roster=("south", "north"))) == ["north", "south"]
    with pytest.raises(DataError, match=r"names 1 sites, simulation.partition.sites is 2"):
        divide(rows(["x"] * 4), parts, seed=0, roster=("south",))


def test_a_column_that_is_an_input_is_not_a_site_column() -> None:
    with pytest.raises(DataError, match="there are: hospital"):
        by_column(rows(["a"]), "age")
