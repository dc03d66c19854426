"""Which rows of a table are new: an earlier phase did not have them.

A row is known by its site, where a column names it, by its patient, its input as the model reads it, and its label: so
a patient's further visit is new, and the same visit in a longer table is not. Each known row accounts for one row.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np

from client.data import Rows
from client.rows import read_rows
from common.errors import DataError
from common.study import Study
from common.study_simulation import KnownRowsSection
from simulations.catalogue import data_path, simulation_of

_Key = tuple[str, str, str, str]


def read_new_rows(study: Study, scratch: Path) -> Rows:
    """Return the study's rows without those that `simulation.without` names. Raises DataError if none is left."""
    simulation = simulation_of(study)
    rows = read_rows(data_path(simulation.data, scratch), study)
    if not simulation.without:
        return rows
    known = [_known(section, study, scratch) for section in simulation.without]
    new = without_known(rows, known, site_column=simulation.site_column)
    if not len(new):
        raise DataError(
            f"all {len(rows)} rows were there in an earlier phase; give a table with new ones (--data FILE), or let "
            "all rows be trained on again (--replay)"
        )
    return new


def _known(section: KnownRowsSection, study: Study, scratch: Path) -> Rows:
    rows, column = read_rows(data_path(section.data, scratch), study), simulation_of(study).site_column
    if column is None or not section.sites or column not in rows.columns:
        return rows
    return rows.take(np.flatnonzero(np.isin([text.strip() for text in rows.columns[column]], section.sites)))


def without_known(rows: Rows, known: Sequence[Rows], *, site_column: str | None) -> Rows:
    """Return the rows that are not among `known`, in their order; each known row accounts for one."""
    left = Counter(key for part in known for key in _keys(part, site_column))
    new = []
    for position, key in enumerate(_keys(rows, site_column)):
        if left[key]:
            left[key] -= 1
        else:
            new.append(position)
    return rows.take(np.array(new, dtype=np.int64))


def _keys(rows: Rows, site_column: str | None) -> Iterable[_Key]:
    labels = (repr(np.asarray(label).tolist()) for label in rows.labels)
    named = None if site_column is None else rows.columns.get(site_column)
    sites = repeat("", len(rows)) if named is None else (text.strip() for text in named)
    return zip(sites, rows.patients, rows.inputs, labels, strict=True)


def joined(parts: Sequence[Rows]) -> Rows:
    """Return all these rows of one study, one part after the other."""
    return Rows(
        inputs=[text for part in parts for text in part.inputs],
        labels=np.concatenate([part.labels for part in parts]),
        patients=[patient for part in parts for patient in part.patients],
        features={name: [value for part in parts for value in part.features[name]] for name in parts[0].features},
        columns={name: [value for part in parts for value in part.columns[name]] for name in parts[0].columns},
    )
