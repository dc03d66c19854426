"""Opening a real site's trainer: its rows and base model, as its settings name them, for one study."""

from pathlib import Path

from client.execution import Execution, resolve
from client.gate import Gate
from client.ledger import Ledger
from client.out_of_memory import told_when_out_of_memory
from client.rows import read_rows
from client.settings import SiteSettings
from client.shield import Shield
from client.shielding import engine_for, patient_mechanism, suited
from client.site_rows import SplitRows, prepare_rows
from client.store import SiteStore
from client.team import Team
from client.trainer import Trainer
from common.base_files import digest_manifest, manifest
from common.bundle import Bundle
from common.errors import ModelError, UserError
from common.study import Study
from common.workbench import Workbench, open_workbench


def open_trainer(
    settings: SiteSettings, bundle: Bundle, base: Path, *, store: SiteStore, gate: Gate, ledger: Ledger
) -> Trainer:
    """Load the base model of the folder `base`, which `find_base_model` found, and the site's rows.

    Raises:
        UserError: the rows are not what the study says; the device is not there.
        RefusedError: the device has no room for the base model.
    """
    study = bundle.study
    rows = read_rows(settings.rows, study)
    execution, *others = _executions(settings, study)

    def load() -> Workbench:
        return open_workbench(study, base, attention=execution.attention).to(execution.device)

    bench = told_when_out_of_memory(load, study, execution)
    parts = prepare_rows(rows, study, bench)
    return Trainer(
        name=settings.site,
        bundle=bundle,
        rows=parts,
        bench=bench,
        execution=execution,
        store=store,
        gate=gate,
        team=Team(study, base, parts.train.examples, execution, tuple(others)) if others else None,
        shield=_shield(study, bench, parts.train, execution, ledger),
        ledger=ledger,
    )


def _executions(settings: SiteSettings, study: Study) -> list[Execution]:
    """Return how each of the site's processes computes."""
    precision, threads = study.training.precision, settings.threads
    found = (resolve(precision=precision, device=each, threads=threads) for each in settings.members)
    executions = [suited(each, study) for each in found]
    if patient_mechanism(study) is None:
        return executions
    if executions[0].device == "mps":
        raise UserError(
            f"study {study.name!r} hides single patients, for which gradients are measured in float64, and Metal has "
            "none: give device = 'cpu' in site.toml"
        )
    if len(executions) > 1:
        raise UserError(
            f"site.toml names {len(executions)} devices or processes, and study {study.name!r} hides single patients, "
            "which one process does: give one device, and processes = 1"
        )
    return executions


def _shield(study: Study, bench: Workbench, train: SplitRows, execution: Execution, ledger: Ledger) -> Shield | None:
    """Return what stands before the patients, where the study hides them; without rows nothing is trained at all."""
    mechanism, start = patient_mechanism(study), engine_for(study, bench, train.examples, execution)
    if mechanism is None or start is None:
        return None
    return Shield(mechanism, study, train.patients, start, ledger)


def check_member(site: str, study: Study) -> None:
    """Raise UserError unless the study's roster has the site."""
    if site not in study.federation.sites:
        raise UserError(
            f"this site is {site!r}, the sites of study {study.name!r} are {', '.join(study.federation.sites)}"
        )


def find_base_model(settings: SiteSettings, study: Study) -> Path:
    """Return the folder of the base model that the study names by its digest. Raises ModelError."""
    expected, found = study.base_model.digest, {}
    for folder in settings.base_models:
        if not folder.is_dir():
            raise ModelError(f"base_models of site.toml: {str(folder)!r} is not a folder on this machine")
        found[folder] = digest_manifest(manifest(folder))
        if found[folder] == expected:
            return folder
    here = ", ".join(f"{folder.name!r} with {digest}" for folder, digest in found.items()) or "none"
    raise ModelError(
        f"no base model of site.toml is the study's, {expected}; there is {here}: fetch the study's "
        "base model, and add its folder to base_models"
    )
