"""Looking before running: what a study's rows give each site, its bundle, and a first study for one's own rows."""

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from client.data import Rows
from client.site_rows import split_of
from client.table_files import read_raw
from common.base_files import check_digest
from common.bundle import Bundle
from common.errors import UserError
from common.files import write_bytes
from common.labels import counted
from common.metrics.classes import ClassMeasure
from common.preparation import prepare
from common.study import Study
from common.study_task import task_of
from common.study_template import write_study
from simulations.catalogue import base_folder, load
from simulations.export_sites import write_site_rows
from simulations.virtual import check_sites, read_sites, with_sites


def describe(name: str, overrides: Sequence[str]) -> Iterator[str]:
    """Yield lines on a study's rows by site, its base model and its digest; raise where it could not run."""
    study = load(name, overrides=overrides)
    yield f"study {study.name}: {study.peft.method}, {study.aggregation.name}, {study.federation.rounds} rounds"
    yield from without_effect(study)
    with TemporaryDirectory() as scratch:
        if study.simulation is not None:
            yield from _describe_rows(study, Path(scratch))
        base = base_folder(study, Path(scratch))
        yield f"base model {check_digest(base, study.base_model.digest)}"
        yield f"adapter {_describe_adapter(study, base, Path(scratch))}"
    yield f"study digest {study.digest}"


def without_effect(study: Study) -> Iterator[str]:
    """Yield a line on each choice that cannot matter in so few rounds."""
    rounds, patience = study.federation.rounds, study.federation.patience
    if patience is not None and patience > rounds - 2:  # before the last round, metrics of rounds 0 to `rounds` - 2
        yield f"federation.patience = {patience} ends no run of less than {patience + 2} rounds; this one has {rounds}"
    late = [phase.from_round for phase in study.training.unfreeze or () if phase.from_round > rounds]
    if late:
        yield f"training.unfreeze: from_round = {late[0]} never comes in {rounds} rounds"


def _describe_rows(study: Study, scratch: Path) -> Iterator[str]:
    sites = read_sites(study, scratch)
    for site, rows in sites.items():
        yield _describe_site(site, rows, study)
    check_sites(sites, study)
    first = next(iter(sites.values()))
    images = study.data.kind == "images"
    yield f"first image: {Path(first.inputs[0]).name}" if images else f"first text: {first.inputs[0]}"


def _describe_adapter(study: Study, base: Path, scratch: Path) -> str:
    """Attach the method, as `prepare` does; its mistakes are told here, and not by a run."""
    if importlib.util.find_spec("torch") is None:
        return "not tried, since torch is not installed here"
    schema = prepare(study, base, scratch / "bundle").schema
    private = len(schema.private.names)
    return f"of {schema.size:,} parameters in {len(schema.names)} tensors, of which {private} stay at each site"


def _describe_site(site: str, rows: Rows, study: Study) -> str:
    parts = split_of(rows, study)
    groups = counted(task_of(study.task), rows.labels)
    return (
        f"{site}: {len(rows)} rows of {len(set(rows.patients))} patients{f' ({groups})' if groups else ''}; "
        f"train {len(parts.train)}, validation {len(parts.validation)}, test {len(parts.test)}"
        f"{_without_auroc(rows.take(parts.test), study)}"
    )


def _without_auroc(test: Rows, study: Study) -> str:
    if not len(test):
        return "; no test rows, so no test metrics"
    classes = isinstance(task_of(study.task).measure, ClassMeasure)
    one = classes and len(set(test.labels.tolist())) == 1
    return "; test rows have one class only, so no AUROC" if one else ""


def prepare_bundle(name: str, out: Path, overrides: Sequence[str], *, rows: Path | None = None) -> Bundle:
    """Write the bundle of a study to the new folder `out`, its roster taken from the rows where there are such.

    rows: a new folder for each site's own rows, `SITE.csv`, to try real sites on one machine.
    """
    for option, folder in (("--out", out), ("--rows", rows)):
        if folder is not None and folder.exists():
            raise UserError(f"{option} {folder} exists; give a new folder")
    study = load(name, overrides=overrides)
    if rows is not None:
        write_site_rows(study, rows)
    with TemporaryDirectory() as scratch:
        if study.simulation is not None and not study.federation.sites:
            study = with_sites(study, read_sites(study, Path(scratch)))
        base = base_folder(study, Path(scratch))
        with _writing(out):
            out.mkdir(parents=True)
        try:
            return prepare(study, base, out)
        except BaseException:
            shutil.rmtree(out)
            raise


def write_template(
    rows: Path,
    out: Path,
    *,
    target: str,
    site_column: str,
    patient_id: str | None,
    task: str | None = None,
    epsilon: float | None = None,
) -> None:
    """Write a study for the user's own rows to the new file `out`."""
    if out.exists():
        raise UserError(f"--out {out} exists; choose another name, or remove it first")
    raw = read_raw(rows)
    table = [list(row) for row in zip(*raw.values(), strict=True)]
    data = os.path.relpath(rows.resolve(), out.resolve().parent)
    text = write_study(
        list(raw),
        table,
        target=target,
        site_column=site_column,
        patient_id=patient_id,
        task=task,
        epsilon=epsilon,
        name=_name_of(out),
        data=data,
    )
    with _writing(out):
        write_bytes(out, text.encode())


def _name_of(out: Path) -> str:
    """Return a study's name from the name of its file.

    >>> _name_of(Path("my first study.toml"))
    'my-first-study'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", out.stem).strip("._-")[:63] or "my-study"


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"--out {out} cannot be written ({error.strerror}); choose another place") from None
