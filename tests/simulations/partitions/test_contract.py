"""What every partition promises; a new file in the folder is tested here without an edit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.errors import DataError
from common.plugins import available, build
from simulations.partitions import Partition

PACKAGE = "simulations.partitions"
NAMES = available(PACKAGE)


def assign(name: str, labels: NDArray[np.int64], patients: list[str], sites: int, seed: int) -> NDArray[np.int64]:
    partition: Partition = build(PACKAGE, name, {}, key="simulation.partition.name")
    return partition.assign(labels, patients, sites=sites, rng=np.random.default_rng(seed))


@st.composite
def rows(draw: st.DrawFn) -> tuple[NDArray[np.int64], list[str], int]:
    patients = draw(st.lists(st.integers(0, 30).map(lambda i: f"p{i}"), min_size=1, max_size=60))
    labels = draw(st.lists(st.integers(0, 3), min_size=len(patients), max_size=len(patients)))
    sites = draw(st.integers(1, len(set(patients))))
    return np.array(labels, dtype=np.int64), patients, sites


def test_the_folder_has_its_partitions() -> None:
    assert {"iid", "dirichlet", "quantity"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@given(rows(), st.integers(0, 2**32))
def test_a_partition_of_whole_patients_with_no_site_empty(
    name: str, case: tuple[NDArray[np.int64], list[str], int], seed: int
) -> None:
    labels, patients, sites = case
    before = labels.copy()
    site = assign(name, labels, patients, sites, seed)
    assert site.dtype == np.int64
    assert site.shape == labels.shape
    assert set(site.tolist()) == set(range(sites))
    homes = {patient: {int(s) for s, p in zip(site, patients, strict=True) if p == patient} for patient in patients}
    assert all(len(home) == 1 for home in homes.values())
    assert (labels == before).all()
    assert (site == assign(name, labels, patients, sites, seed)).all()


@pytest.mark.parametrize("name", NAMES)
@given(rows(), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(
    name: str, case: tuple[NDArray[np.int64], list[str], int], seed: int, random: object
) -> None:
    labels, patients, sites = case
    order = list(range(len(patients)))
    random.shuffle(order)  # type: ignore[attr-defined] # hypothesis types it as Random
    shuffled = assign(name, labels[order], [patients[i] for i in order], sites, seed)
    assert (shuffled == assign(name, labels, patients, sites, seed)[order]).all()


@pytest.mark.parametrize("name", NAMES)
def test_seeds_differ(name: str) -> None:
    labels, patients = np.arange(200) % 2, [f"p{i}" for i in range(200)]
    assert (assign(name, labels, patients, 4, 0) != assign(name, labels, patients, 4, 1)).any()


@pytest.mark.parametrize("name", NAMES)
def test_fewer_patients_than_sites_is_an_error(name: str) -> None:
    with pytest.raises(DataError, match="2 patients cannot fill 3 sites"):
        assign(name, np.array([0, 1, 1]), ["a", "b", "a"], 3, 0)
