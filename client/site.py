"""A real site: its trainer, opened from its own settings and the study's bundle."""

from functools import cache
from pathlib import Path

from client.data import Rows
from client.execution import resolve
from client.gate import Gate
from client.journal import Journal
from client.rows import read_rows
from client.settings import SiteSettings, read_settings
from client.store import SiteStore
from client.trainer import Trainer, prepare_rows
from common.base_files import check_digest
from common.bundle import Bundle, read_bundle
from common.errors import ModelError, UserError
from common.study import Study
from common.workbench import open_workbench


def open_site(path: Path) -> Trainer:
    """Read the settings in `path`, check everything that they name, and load base model and rows.

    Raises:
        UserError: the settings are wrong; the study does not know the site; the base model is not the study's; the
            rows are not what the study says.
    """
    settings = read_settings(path)
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    bundle = read_bundle(settings.bundle)
    _check_member(settings.site, bundle.study, path)
    _check_base_model(settings, bundle)
    return _trainer(settings, bundle, read_rows(settings.data, bundle.study))


@cache
def resident_site(path: str) -> Trainer:
    """Return the site of a settings file, opened once per process."""
    return open_site(Path(path))


def _check_member(site: str, study: Study, path: Path) -> None:
    if site not in study.federation.sites:
        raise UserError(
            f"{path}: site is {site!r}, the sites of study {study.name!r} are {', '.join(study.federation.sites)}"
        )


def _check_base_model(settings: SiteSettings, bundle: Bundle) -> None:
    if not settings.base_model.is_dir():
        raise ModelError(f"base_model = {str(settings.base_model)!r} is not a folder on this machine")
    check_digest(settings.base_model, bundle.study.base_model.digest)


def _trainer(settings: SiteSettings, bundle: Bundle, rows: Rows) -> Trainer:
    study = bundle.study
    execution = resolve(precision=study.training.precision, device=settings.device, threads=settings.threads)
    bench = open_workbench(study, settings.base_model, attention=execution.attention).to(execution.device)
    journal = Journal(settings.state / "journal.jsonl")
    return Trainer(
        name=settings.site,
        bundle=bundle,
        rows=prepare_rows(rows, study, bench),
        bench=bench,
        execution=execution,
        store=SiteStore(settings.state, classes=len(study.task.labels)),
        gate=Gate(settings.site, settings.policy.policy(), bundle.schema, journal),
    )
