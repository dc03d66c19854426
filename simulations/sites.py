"""Rows to virtual sites: by a column of theirs, or by a partition."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from client.data import Rows
from common.errors import DataError
from common.names import NAME
from common.plugins import build
from common.rendering import is_missing, shown
from common.seeds import generator
from common.study_simulation import PartitionSection, SimulationSection
from simulations.partitions import Partition


def divide(
    rows: Rows,
    simulation: SimulationSection,
    *,
    seed: int,
    roster: Sequence[str] = (),
    strata: NDArray[np.int64] | None = None,
) -> dict[str, Rows]:
    """Return each site's rows, sorted by site name.

    strata: class indices (n,) that a partition may deal by; the labels, where they are such, unless given.
    roster: `federation.sites`. With a site column it chooses among the column's sites, with a partition it names them.

    Raises:
        DataError: no such column, a name that no site can have, a site of the roster without rows, too few patients.
    """
    if simulation.site_column is not None:
        return chosen(by_column(rows, simulation.site_column), roster)
    assert simulation.partition is not None  # the section's own check: one of the two
    return by_partition(rows, simulation.partition, seed=seed, roster=roster, strata=strata)


def by_column(rows: Rows, column: str) -> dict[str, Rows]:
    """Group the rows by the text of a column that is neither the target, nor the patient id, nor an input."""
    if column not in rows.columns:
        raise DataError(
            f"simulation.site_column {column!r} is not a column beside inputs, target and patient id; "
            f"there are: {', '.join(rows.columns) or 'none'}"
        )
    names = np.array([_site_name(text, column, row) for row, text in enumerate(rows.columns[column], start=1)])
    found, group = np.unique(names, return_inverse=True)
    return {str(name): rows.take(index) for name, index in zip(found, positions(group, len(found)), strict=True)}


def positions(group: NDArray[np.int64], groups: int) -> list[NDArray[np.int64]]:
    """Return the positions of each group's rows, ascending, in one pass over all: sites may be ten thousand.

    >>> [index.tolist() for index in positions(np.array([1, 0, 1, 3]), 4)]
    [[1], [0, 2], [], [3]]
    """
    order = np.argsort(group, kind="stable").astype(np.int64)
    return np.split(order, np.cumsum(np.bincount(group, minlength=groups))[:-1])


def _site_name(text: str, column: str, row: int) -> str:
    name = text.strip()
    if is_missing(name):
        raise DataError(f"simulation.site_column {column!r}, row {row}: no site; every row needs one")
    if not NAME.fullmatch(name):
        raise DataError(
            f"simulation.site_column {column!r}, row {row}: {shown(name)} cannot be a site's name; "
            "use up to 63 letters, digits, '.', '_' and '-', a letter or digit first"
        )
    return name


def chosen(sites: Mapping[str, Rows], roster: Sequence[str]) -> dict[str, Rows]:
    """Return the sites of the roster, all where it is empty; a site of it without rows is a DataError."""
    absent = [name for name in roster if name not in sites]
    if absent:
        raise DataError(f"federation.sites: {absent[0]!r} has no rows; the data have: {', '.join(sites)}")
    return {name: sites[name] for name in sorted(roster or sites)}


def by_partition(
    rows: Rows,
    section: PartitionSection,
    *,
    seed: int,
    roster: Sequence[str] = (),
    strata: NDArray[np.int64] | None = None,
) -> dict[str, Rows]:
    """Deal the rows to `section.sites` sites, named by the roster or `site-1`, `site-2`, ..."""
    if roster and len(roster) != section.sites:
        raise DataError(f"federation.sites names {len(roster)} sites, simulation.partition.sites is {section.sites}")
    partition: Partition = build(
        "simulations.partitions", section.name, section.options, key="simulation.partition.name"
    )
    rng = generator(seed, purpose="partition")
    labels = rows.labels if strata is None else strata
    site = partition.assign(labels, rows.patients, sites=section.sites, rng=rng)
    names = sorted(roster) or site_names(section.sites)
    parts = positions(site, section.sites)
    return {name: rows.take(index) for name, index in zip(names, parts, strict=True)}


def site_names(count: int) -> list[str]:
    """Return names whose alphabetical order is that of their numbers.

    >>> site_names(2), site_names(10)[0]
    (['site-1', 'site-2'], 'site-01')
    """
    return [f"site-{number:0{len(str(count))}d}" for number in range(1, count + 1)]
