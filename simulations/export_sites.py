"""Virtual sites as real ones: from a simulated run, a folder per site with its rows and settings.

For trying a real federation on one machine: a SuperNode with such a settings file trains on the very rows that the
virtual site trained on, and with the run's bundle the adapter comes out the same.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from client.rows import read_rows
from client.table_files import RawTable, read_raw
from common.bundle import read_bundle
from common.errors import StudyError
from common.files import write_bytes
from common.study import Study
from simulations.catalogue import base_folder, rows_path, simulation_of
from simulations.folder import RunFolder
from simulations.sites import divide

ROWS, SETTINGS = "rows.csv", "settings.toml"
_POSITION = "\0position"
"""A column of our own for the division; no file's column has such a name."""


def export_sites(run: Path, out: Path) -> dict[str, Path]:
    """Write `out/SITE/rows.csv` and `out/SITE/settings.toml` for each site of the run; return the settings by site.

    Raises:
        StudyError: the study has no `data.patient_id`: equal rows are then told apart by their order in the file, which
            is another one in a file per site, and so would be the split.
    """
    folder = RunFolder(run.resolve())
    execution, study = folder.facts().execution, read_bundle(folder.bundle).study
    if study.data.patient_id is None:
        raise StudyError(f"study {study.name!r} has no data.patient_id; sites of their own would split rows otherwise")
    base = base_folder(study, folder.scratch).resolve()
    raw = read_raw(rows_path(study, folder.scratch))
    settings = {}
    for site, positions in positions_by_site(study, folder.scratch).items():
        write_bytes(out / site / ROWS, csv_of(raw, positions))
        text = settings_text(
            site=site, bundle=folder.bundle, base_model=base, device=execution.device, threads=execution.threads
        )
        write_bytes(out / site / SETTINGS, text.encode())
        settings[site] = out / site / SETTINGS
    return settings


def positions_by_site(study: Study, scratch: Path) -> Mapping[str, Sequence[int]]:
    """Return, for each site, the positions of its rows in the study's table, in its own order."""
    rows = read_rows(rows_path(study, scratch), study)
    numbered = replace(rows, columns={**rows.columns, _POSITION: [str(i) for i in range(len(rows))]})
    sites = divide(numbered, simulation_of(study), seed=study.seed, roster=study.federation.sites)
    return {site: [int(text) for text in part.columns[_POSITION]] for site, part in sites.items()}


def csv_of(raw: RawTable, positions: Sequence[int]) -> bytes:
    """Return these rows of a table as CSV, all columns; `read_raw` reads the same text from it."""
    text = io.StringIO()
    # All quoted: a carriage return in a field would otherwise end the row for readers.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(raw)
    writer.writerows([column[i] for column in raw.values()] for i in positions)
    return text.getvalue().encode()


def settings_text(*, site: str, bundle: Path, base_model: Path, device: str, threads: int) -> str:
    """Return a settings file; the policy is the default of a real site."""
    values = {
        "site": site,
        "bundle": str(bundle),
        "data": ROWS,
        "base_model": str(base_model),
        "state": "state",
        "device": device,
        "threads": threads,
    }
    # A JSON text or number is a TOML one too, as long as characters outside ASCII stand for themselves.
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
