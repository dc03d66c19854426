"""Virtual sites as real ones: from a simulated run, a site's folder each, with its rows and settings.

For trying a real federation on one machine: such a site trains on the very rows that the virtual site trained on, and
with the run's bundle the adapter comes out the same. Each site still has to be enrolled, and to approve the study.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from client.data.table import read_table_inputs
from client.execution import Execution
from client.initialise import initialise, read_join
from client.policy import Policy
from client.policy_text import policy_text, toml_value
from client.rows import read_rows, source_of
from client.site_folder import SiteFolder
from client.table_files import RawTable, read_raw
from common.bundle import read_bundle
from common.errors import StudyError
from common.files import write_bytes
from common.study import Study
from simulations.catalogue import base_folder, rows_path, simulation_of
from simulations.folder import RunFolder
from simulations.sites import divide
from simulations.virtual import SIMULATED_POLICY

ROWS = "rows.csv"
_POSITION = "\0position"
"""A column of our own for the division; no file's column has such a name."""


def export_sites(run: Path, out: Path, *, join: Path, open_policy: bool = False) -> dict[str, SiteFolder]:
    """Make `out/SITE` for each site of the run, by a coordinator's `join` file; return the folders by site.

    open_policy: let out what a virtual site does, histograms and small cells too; else the policy is a real site's own.

    Raises:
        StudyError: the study has no `data.patient_id`: equal rows are then told apart by their order in the file, which
            is another one in a file per site, and so would be the split.
    """
    folder = RunFolder(run.resolve())
    execution, study = folder.facts().execution, read_bundle(folder.bundle).study
    _check_patients(study)
    base = base_folder(study, folder.scratch).resolve()
    table = rows_path(study, folder.scratch)
    raw = read_raw(table)
    sites = {}
    for site, positions in positions_by_site(study, folder.scratch).items():
        sites[site] = SiteFolder(out / site)
        initialise(sites[site], site=site, join=join, base_models=[base])
        write_bytes(out / site / ROWS, csv_of(raw, positions), mode=0o600)
        _copy_files(study, table, positions, out / site)
        _complete(sites[site], execution)
        if open_policy:
            _open(sites[site], join)
    return sites


def write_site_rows(study: Study, out: Path) -> list[Path]:
    """Write `out/SITE.csv`, the rows of each site of a study with a `[simulation]`, all columns. Raises StudyError."""
    _check_patients(study)
    with TemporaryDirectory() as scratch:
        table = rows_path(study, Path(scratch))
        raw, sites = read_raw(table), positions_by_site(study, Path(scratch))
        for site, positions in sites.items():
            write_bytes(out / f"{site}.csv", csv_of(raw, positions), mode=0o600)
            _copy_files(study, table, positions, out)
    return [out / f"{site}.csv" for site in sites]


def _check_patients(study: Study) -> None:
    if study.data.patient_id is None:
        raise StudyError(f"study {study.name!r} has no data.patient_id; sites of their own would split rows otherwise")


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


def _copy_files(study: Study, table: Path, positions: Sequence[int], out: Path) -> None:
    """Copy what these rows of a table name, such as images, so that the same names hold in `out`."""
    inputs = read_table_inputs(table, section=study.data).inputs
    named = source_of(study).files_beside(table, [inputs[i] for i in positions])
    for name, file in named.items():
        write_bytes(out / name, file.read_bytes(), durable=False, mode=0o600)


def _complete(folder: SiteFolder, execution: Execution) -> None:
    """Fill in rows, device and threads, as a person at the site would."""
    text = folder.settings.read_text(encoding="utf-8")
    text = text.replace('# data = "rows.csv"', f"data = {toml_value(ROWS)}")
    text = text.replace(
        'device = "cpu"\nthreads = 1', f"device = {toml_value(execution.device)}\nthreads = {execution.threads}"
    )
    write_bytes(folder.settings, text.encode(), mode=0o600)


def _open(folder: SiteFolder, join: Path) -> None:
    trusted = {"coordinators": (read_join(join).signing_key,)}
    policy = Policy(**{**SIMULATED_POLICY.model_dump(), **trusted})
    write_bytes(folder.policy, policy_text(policy).encode(), mode=0o600)
